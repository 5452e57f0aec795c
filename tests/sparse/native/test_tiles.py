"""Winograd at a list of tiles against a float64 convolution."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    LARGE,
    SIZES,
    activity_of,
    assert_planes_equal,
    assert_stored_alike_past_the_cache,
    conv3x3,
    filled_plane,
    fold,
    in_tiles,
    inside,
    plane_of,
    tile_rows,
    unfold,
)
from native_products import HALVES, Products, per_products

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import BFLOAT16

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: Tiles of one work item, `kTileBlock` of csrc/kernels.h.
TILE_BLOCK = 12

#: Rounding to float32, 24 bits.
FLOAT_EPS = 2.0**-24

#: The error of F(4×4, 3×3) relative to that of the direct sum, roundings taken as independent. The
#: bound, |Aᵀ|(|G||g||Gᵀ| ⊙ |Bᵀ||d||B|)|A| over |g|∗|d|, is 69; random data reach 22, one number 43.
WINOGRAD_GROWTH = 64.0


def rounding(image, kernel, eps):
    """Return the error allowed in a convolution of (K, H, W) with (N, K, 3, 3)."""
    energy = conv3x3(image.astype(np.float64) ** 2, kernel.astype(np.float64) ** 2)
    # A sum of float32 rounds at each of its terms, in bfloat16 only the terms are rounded.
    terms = kernel[0].size if eps == FLOAT_EPS else 1
    return WINOGRAD_GROWTH * eps * np.sqrt(terms * energy.max())


class Case:
    """Random inputs of a call, and what it should leave in `out`."""

    def __init__(self, size, tiles, depth=16, count=16, seed=0):
        self.size, self.tiles = size, np.array(tiles, np.int32)
        self.rng = np.random.default_rng(seed)
        self.image = self.rng.standard_normal((depth, *size), np.float32)
        self.kernel = self.rng.standard_normal((count, depth, 3, 3), np.float32)
        self.depth, self.count = packing.padded(depth), packing.padded(count)

    def __repr__(self):
        return f"Case({self.size}, {self.tiles.tolist()}, weights {self.kernel.shape})"

    def x(self, products):
        """Return the input's plane."""
        return plane_of(self.image, dtype=products.dtype)

    def values(self, products, bias=None, residual=None, relu=False):
        """Return what the convolution gives at every pixel, (H, W, N padded), and its tolerance.

        What is stored in bfloat16 is rounded, and filled up to whole lines with zeros.
        """
        image = products.kept(self.image)
        value = np.zeros((*self.size, self.count))
        value[..., : len(self.kernel)] = conv3x3(image, self.kernel)
        if bias is not None:
            value += bias
        if residual is not None:
            value += inside(unfold(residual), *self.size)[..., : self.count]
        tolerance = rounding(image, self.kernel, products.eps)
        tolerance += 4 * FLOAT_EPS * np.abs(value).max()
        if products.half:
            tolerance += 2.0**-9 * np.abs(value).max()
        value = packing.pad(value, 2, packing.padded(self.count, products.line))
        return (np.maximum(value, 0) if relu else value), tolerance

    def run(self, out, products, x=None, **options):
        return kernels.tiles(
            *self.size,
            self.tiles,
            self.x(products) if x is None else x,
            products.winograd(self.kernel),
            out,
            isa=products.isa,
            **options,
        )

    def vector(self):
        return self.rng.standard_normal(self.count, np.float32)

    def plane(self, channels, products):
        values = self.rng.standard_normal((channels, *self.size), np.float32)
        return plane_of(values, channels, products.dtype)

    def filled(self, products, channels=0):
        """Return a plane to write into."""
        return filled_plane(*self.size, max(channels, self.count), dtype=products.dtype)


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


sizes = st.tuples(st.integers(1, 14), st.integers(1, 20))


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
@given(
    half=st.tuples(st.integers(1, 7), st.integers(1, 18)),
    relu=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=20)
def test_pooling_stores_means_of_2x2_pixels(products, half, relu, seed):
    size = (2 * half[0], 2 * half[1])
    tiles = np.arange(tile_rows(size[0]) * tile_rows(size[1]))
    rng = np.random.default_rng(seed)
    tiles = rng.permutation(tiles)[: rng.integers(len(tiles) + 1)]
    case = Case(size, tiles, count=20, seed=seed)
    bias = case.vector()
    value, tolerance = case.values(products, bias=bias, relu=relu)
    out = filled_plane(*half, case.count + 16)
    expected = unfold(out).astype(np.float64)
    listed = in_tiles(case.tiles, *size)[::2, ::2]
    means = value.reshape(half[0], 2, half[1], 2, -1).mean((1, 3))
    inside(expected, *half)[listed, : case.count] = means[listed, : case.count]
    case.run(out, products, bias=bias, relu=relu, pool=True)
    assert_planes_equal(out, expected, tolerance)


@pytest.mark.parametrize("products", HALVES, ids=str)
@pytest.mark.parametrize("wide", [False, True], ids=["bfloat16 products", "float32 products"])
@pytest.mark.parametrize(("depth", "count"), [(40, 12), (64, 40), (16, 16), (33, 33)])
def test_outputs_of_bfloat16_may_be_float32(products, wide, depth, count):
    case = Case((9, 21), range(0, 18, 2), depth, count)
    case.image, x = products.kept(case.image), case.x(products)
    if wide:
        products = Wide(products.isa)
    bias = case.vector()
    value, tolerance = case.values(products, bias=bias)
    out = filled_plane(*case.size, case.count + 16)
    expected = unfold(out).astype(np.float64)
    listed = in_tiles(case.tiles, *case.size)
    inside(expected, *case.size)[listed, : case.count] = value[listed, : case.count]
    case.run(out, products, x, bias=bias)
    assert_planes_equal(out, expected, tolerance)


class Wide(Products):
    """Products in float32 of features in bfloat16."""

    def winograd(self, kernel):
        return BFLOAT16.last_weights(kernel.astype(np.float64))


@per_products
@given(
    half=st.tuples(st.integers(1, 7), st.integers(1, 18)),
    odd=st.tuples(st.booleans(), st.booleans()),
    panels=st.sampled_from([(1, 1), (1, 2), (2, 3), (1, 4)]),
    seed=st.integers(0, 999),
)
@settings(max_examples=20)
def test_some_outputs_are_pooled_and_the_others_stored(products, half, odd, panels, seed):
    """At an odd size only at tiles that are not the last ones."""
    size = (2 * half[0] - odd[0], 2 * half[1] - odd[1])
    rows, columns = (tile_rows(side) for side in size)
    tiles = np.arange(rows * columns).reshape(rows, columns)
    tiles = tiles[: rows - odd[0], : columns - odd[1]].ravel()
    pooled, count = (16 * panel for panel in panels)
    case = Case(size, tiles, 40, pooled + count, seed)
    bias = case.vector()
    value, tolerance = case.values(products, bias=bias, relu=True)
    means = np.zeros((*half, pooled))
    whole = value[: size[0] // 2 * 2, : size[1] // 2 * 2, :pooled]
    whole = whole.reshape(size[0] // 2, 2, size[1] // 2, 2, pooled).mean((1, 3))
    means[: size[0] // 2, : size[1] // 2] = whole
    listed = in_tiles(tiles, *size)
    out = filled_plane(*size, count, dtype=products.dtype)
    expected = unfold(out).astype(np.float64)
    kept = packing.pad(value[..., pooled : case.count], 2, expected.shape[2])
    inside(expected, *size)[listed] = kept[listed]
    hidden = filled_plane(*half, pooled + 16)
    hidden_expected = unfold(hidden).astype(np.float64)
    upper = listed[::2, ::2]
    inside(hidden_expected, *half)[upper, :pooled] = means[upper]
    options = {"bias": bias, "relu": True, "pooled": (hidden, pooled), "sums": True}
    sums = case.run(out, products, **options)
    assert_planes_equal(out, expected, tolerance)
    assert_planes_equal(hidden, hidden_expected, tolerance)
    of_channel = kept[listed].sum(0)[:count]
    np.testing.assert_allclose(sums, of_channel, atol=tolerance * (1 + listed.sum()))


@per_products
def test_threads_do_not_change_a_bit(products):
    case = Case((92, 85), range(23 * 22), depth=8)  # more work items than pieces
    activity = activity_of(case.rng.random(case.size) < 0.5)
    runs = []
    for threads in (1, 2, 5):
        out = case.filled(products)
        sums = case.run(out, products, activity_out=activity, sums=True, threads=threads)
        runs.append((out.tobytes(), sums.tobytes()))
    assert runs[0] == runs[1] == runs[2]


@per_products
@pytest.mark.parametrize("has_residual", [False, True])
def test_what_is_stored_past_the_cache(products, has_residual):
    case = Case(LARGE, range(0, tile_rows(LARGE[0]) * tile_rows(LARGE[1]), 3), count=48)
    activity = activity_of(case.rng.random(case.size) < 0.5)
    options = {"relu": True, "sums": True, "activity_out": activity}
    if has_residual:
        options["residual"] = case.plane(128, products)
    assert_stored_alike_past_the_cache(
        partial(case.run, products=products, **options), case.plane(128, products)
    )


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
