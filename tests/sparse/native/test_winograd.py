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
from native_products import HALVES, per_products

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

LINE = kernels.LINE
#: Tiles of one work item, `kTileBlock` of csrc/kernels.h.
TILE_BLOCK = 24

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
        self.x = plane_of(self.image)

    def __repr__(self):
        return f"Case({self.size}, {self.tiles.tolist()}, weights {self.kernel.shape})"

    def values(self, products, bias=None, residual=None, relu=False):
        """Return what the convolution gives at every pixel, (H, W, N padded), and its tolerance."""
        value = np.zeros((*self.size, self.count))
        value[..., : len(self.kernel)] = conv3x3(self.image, self.kernel)
        if bias is not None:
            value += bias
        if residual is not None:
            value += inside(unfold(residual), *self.size)[..., : self.count]
        tolerance = rounding(self.image, self.kernel, products.eps)
        tolerance += 4 * FLOAT_EPS * np.abs(value).max()
        return (np.maximum(value, 0) if relu else value), tolerance

    def run(self, out, products, **options):
        return kernels.winograd(
            *self.size,
            self.tiles,
            self.x,
            products.winograd(self.kernel),
            out,
            isa=products.isa,
            **options,
        )

    def vector(self):
        return self.rng.standard_normal(self.count, np.float32)

    def plane(self, channels):
        return plane_of(self.rng.standard_normal((channels, *self.size), np.float32), channels)


def check(case, products, bias=None, residual=None, relu=False, channels=None, threads=1):
    """Run a case without masks and compare all of `out`."""
    out = filled_plane(*case.size, channels or case.count)
    value, tolerance = case.values(products, bias, residual, relu)
    expected = unfold(out).astype(np.float64)
    listed = in_tiles(case.tiles, *case.size)
    inside(expected, *case.size)[listed, : case.count] = value[listed]
    options = {"bias": bias, "residual": residual, "relu": relu, "threads": threads}
    assert case.run(out, products, **options) is None
    assert_planes_equal(out, expected, tolerance)
    sums = case.run(out, products, sums=True, **options)
    np.testing.assert_allclose(sums, value[listed].sum(0), atol=tolerance * (1 + listed.sum()))


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
    residual = case.plane(channels) if has_residual else None
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
    out = filled_plane(*case.size, 64)
    case.run(out, products)
    value, _ = case.values(products)
    error = inside(unfold(out), *case.size) - value
    assert np.sqrt((error**2).mean() / (value**2).mean()) < 0.015


@per_products
def test_the_residual_may_be_the_output(products):
    case = Case((9, 7), [0, 3, 4], count=32)
    out = case.plane(32)
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
        k_dense = min(dense_lines * LINE, case.depth)
        case.image[k_dense:, ~mask] = 0
        x = unfold(case.x)
        inside(x, *case.size)[~mask, k_dense:] = np.nan  # may not be seen
        case.x = fold(x)
        options |= {"activity_in": activity, "k_dense": k_dense}
    written = in_tiles(case.tiles, *case.size)
    if stored is not None:
        options |= {"activity_out": activity, "stored": stored}
        written &= mask if stored == kernels.ACTIVE else ~mask

    value, tolerance = case.values(products, relu=True)
    out = filled_plane(*case.size, case.count)
    expected = unfold(out).astype(np.float64)
    inside(expected, *case.size)[written] = value[written]
    sums = case.run(out, products, sums=True, **options)
    assert_planes_equal(out, expected, tolerance)
    np.testing.assert_allclose(sums, value[written].sum(0), atol=tolerance * (1 + written.sum()))


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
    means = value.reshape(half[0], 2, half[1], 2, case.count).mean((1, 3))
    inside(expected, *half)[listed, : case.count] = means[listed]
    case.run(out, products, bias=bias, relu=relu, pool=True)
    assert_planes_equal(out, expected, tolerance)


@per_products
def test_threads_do_not_change_a_bit(products):
    case = Case((92, 85), range(23 * 22), depth=8)  # more work items than pieces
    activity = activity_of(case.rng.random(case.size) < 0.5)
    runs = []
    for threads in (1, 2, 5):
        out = filled_plane(*case.size, case.count)
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
        options["residual"] = case.plane(64)
    assert_stored_alike_past_the_cache(
        partial(case.run, products=products, **options), case.plane(64)
    )


@per_products
@pytest.mark.parametrize("relu", [False, True])
def test_nan_reaches_the_output(products, relu):
    case = Case((12, 12), range(9))
    case.x[0, 6, 7, 3] = np.nan  # pixel (5, 6)
    out = filled_plane(*case.size, 16)
    case.run(out, products, relu=relu)
    image = inside(unfold(out), *case.size)
    assert np.isnan(image[4:7, 5:8]).all()
    assert np.isfinite(image[:4]).all()  # tiles whose patches do not hold the pixel
    assert np.isfinite(image[8:]).all()
