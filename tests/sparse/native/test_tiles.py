"""Winograd at a list of tiles against a float64 convolution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    SIZES,
    activity_of,
    assert_planes_equal,
    fold,
    in_tiles,
    inside,
    tile_rows,
    unfold,
)
from native_products import HALVES, per_products
from tile_cases import Case

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: Tiles of one work item, `kTileBlock` of csrc/kernels.h.
TILE_BLOCK = 12

sizes = st.tuples(st.integers(1, 14), st.integers(1, 20))


def check(case, products, bias=None, residual=None, relu=False, channels=None, threads=1):
    """Run a case without masks and compare all of `out`."""
    out = case.filled(products, channels or 0)
    value, tolerance = case.values(products, bias, residual, relu)
    expected = unfold(out).astype(np.float64)
    listed = in_tiles(case.tiles, *case.size)
    inside(expected, *case.size)[listed, : value.shape[2]] = value[listed]
    options = {"bias": bias, "residual": residual, "relu": relu, "threads": threads}
    assert case.run(out, products, **options) is None
    assert_planes_equal(out, expected, tolerance)
    sums = case.run(out, products, sums=True, **options)
    of_channel = value[listed].sum(0)[: case.count]
    np.testing.assert_allclose(sums, of_channel, atol=tolerance * (1 + listed.sum()))


@st.composite
def cases(draw):
    """Draw any size, any tiles in any order, any channel counts."""
    size = draw(sizes)
    every = range(tile_rows(size[0]) * tile_rows(size[1]))
    tiles = draw(st.lists(st.sampled_from(every), unique=True))
    depth, count = draw(st.integers(1, 40)), draw(st.integers(1, 90))
    return Case(size, tiles, depth, count, draw(st.integers(0, 999)))


@per_products
@given(
    case=cases(),
    has_bias=st.booleans(),
    has_residual=st.booleans(),
    relu=st.booleans(),
    spare=st.sampled_from([0, 16, 32]),
    threads=st.integers(1, 3),
)
@settings(max_examples=40)
def test_equals_the_convolution_at_any_tiles(
    products, case, has_bias, has_residual, relu, spare, threads
):
    channels = case.count + spare
    bias = case.vector() if has_bias else None
    residual = case.plane(channels, products) if has_residual else None
    check(case, products, bias, residual, relu, channels, threads)


@per_products
@pytest.mark.parametrize(
    ("size", "tiles"),
    [
        pytest.param((8, 8), [], id="no tile"),
        pytest.param((8, 8), [2], id="one tile"),
        pytest.param((4, 4), [0], id="an image of one tile"),
        pytest.param((20, 18), range(TILE_BLOCK), id="one work item"),
        pytest.param((20, 18), range(TILE_BLOCK + 1), id="one tile more than a work item"),
        pytest.param((20, 18), range(TILE_BLOCK - 1), id="one tile less than a work item"),
        pytest.param((20, 18), range(24, -1, -1), id="backwards"),
        *(
            pytest.param(size, range(tile_rows(size[0]) * tile_rows(size[1])), id=f"all of {size}")
            for size in SIZES
        ),
    ],
)
def test_boundaries_of_tiles(products, size, tiles):
    case = Case(size, tiles)
    check(case, products, bias=case.vector(), relu=True)


@per_products
@pytest.mark.parametrize("depth", [1, 16, 17, 1024])
@pytest.mark.parametrize("count", [1, 16, 32, 48, 64, 80, 112, 1024])
def test_boundaries_of_channels(products, depth, count):
    if depth * count <= 1 << 17:
        check(Case((5, 6), [0, 3], depth, count), products)


@pytest.mark.parametrize("products", HALVES, ids=str)
def test_products_in_bfloat16_are_off_by_a_percent(products):
    case = Case((40, 40), range(100), 64, 64)
    out = case.filled(products)
    case.run(out, products)
    value, _ = case.values(products)
    error = inside(unfold(out), *case.size) - value
    assert np.sqrt((error**2).mean() / (value**2).mean()) < 0.015


@per_products
def test_the_residual_may_be_the_output(products):
    case = Case((9, 7), [0, 3, 4], count=32)
    out = case.plane(32, products)
    value, tolerance = case.values(products, residual=out)
    expected = unfold(out).astype(np.float64)
    listed = in_tiles(case.tiles, *case.size)
    inside(expected, *case.size)[listed] = value[listed]
    case.run(out, products, residual=out)
    assert_planes_equal(out, expected, tolerance)


@per_products
@given(
    case=cases(),
    density=st.sampled_from([0.0, 0.2, 0.8, 1.0]),
    dense_lines=st.one_of(st.none(), st.integers(0, 3)),
    stored=st.sampled_from([None, kernels.ACTIVE, kernels.INACTIVE]),
    threads=st.integers(1, 3),
)
@settings(max_examples=40)
def test_masks_hide_inputs_and_outputs(products, case, density, dense_lines, stored, threads):
    mask = case.rng.random(case.size) < density
    activity = activity_of(mask)
    options = {"relu": True, "threads": threads}
    if dense_lines is not None:
        k_dense = min(dense_lines * products.line, packing.padded(case.depth, products.line))
        case.image[k_dense:, ~mask] = 0
        x = unfold(case.x(products))
        inside(x, *case.size)[~mask, k_dense:] = np.nan  # may not be seen
        options |= {"x": fold(x, products.dtype), "activity_in": activity, "k_dense": k_dense}
    written = in_tiles(case.tiles, *case.size)
    if stored is not None:
        options |= {"activity_out": activity, "stored": stored}
        written &= mask if stored == kernels.ACTIVE else ~mask

    value, tolerance = case.values(products, relu=True)
    out = case.filled(products)
    expected = unfold(out).astype(np.float64)
    inside(expected, *case.size)[written] = value[written]
    sums = case.run(out, products, sums=True, **options)
    assert_planes_equal(out, expected, tolerance)
    of_channel = value[written].sum(0)[: case.count]
    np.testing.assert_allclose(sums, of_channel, atol=tolerance * (1 + written.sum()))


@per_products
@pytest.mark.parametrize("relu", [False, True])
def test_nan_reaches_the_output(products, relu):
    case = Case((12, 12), range(9))
    case.image[3, 5, 6] = np.nan
    out = case.filled(products)
    case.run(out, products, relu=relu)
    image = inside(unfold(out), *case.size)[..., :16]
    assert np.isnan(image[4:7, 5:8]).all()
    assert np.isfinite(image[:4]).all()  # tiles whose patches do not hold the pixel
    assert np.isfinite(image[8:]).all()
