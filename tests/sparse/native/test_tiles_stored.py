"""Winograd at a list of tiles: what is stored of its outputs, and where."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    LARGE,
    activity_of,
    assert_planes_equal,
    assert_stored_alike_past_the_cache,
    filled_plane,
    in_tiles,
    inside,
    tile_rows,
    unfold,
)
from native_products import HALVES, Products, per_products
from tile_cases import Case

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import BFLOAT16

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")


@per_products
@given(
    half=st.tuples(st.integers(1, 7), st.integers(1, 18)),
    relu=st.booleans(),
    in_floats=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=20)
def test_pooling_stores_means_of_2x2_pixels(products, half, relu, in_floats, seed):
    size = (2 * half[0], 2 * half[1])
    tiles = np.arange(tile_rows(size[0]) * tile_rows(size[1]))
    rng = np.random.default_rng(seed)
    tiles = rng.permutation(tiles)[: rng.integers(len(tiles) + 1)]
    case = Case(size, tiles, count=20, seed=seed)
    bias = case.vector()
    value, tolerance = case.values(products, bias=bias, relu=relu)
    dtype = np.float32 if in_floats else products.dtype
    out = filled_plane(*half, case.count + 32, dtype=dtype)
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
    hidden = filled_plane(*half, pooled, dtype=products.dtype)
    hidden_expected = unfold(hidden).astype(np.float64)
    upper = listed[::2, ::2]
    kept_means = packing.pad(means, 2, hidden_expected.shape[2])
    inside(hidden_expected, *half)[upper] = kept_means[upper]
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
