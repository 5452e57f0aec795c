"""Products over the rows of a list of pixels: how they are computed and where they are stored."""

from __future__ import annotations

import time

import numpy as np
import pytest
from native_planes import (
    LARGE,
    assert_planes_equal,
    assert_stored_alike_past_the_cache,
    conv3x3,
    filled_plane,
    flat,
    inside,
    pixels_where,
    plane_of,
    unfold,
)
from native_products import FLOATS, HALVES, per_products
from row_products import NEIGHBOURS, ROW_BLOCK, Source, integer_plane, integers, product, stored

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")


@per_products
def test_threads_do_not_change_a_bit(products):
    rng = np.random.default_rng(0)
    size, count = (47, 67), 48  # more work items than pieces
    x = plane_of(rng.standard_normal((count, *size), np.float32), dtype=products.dtype)
    weights = products.taps(rng.standard_normal((count, count, 3, 3)))
    sources = [(x, dy, dx, 0, count, None) for dy, dx in NEIGHBOURS]
    pixels = pixels_where(rng.random(size) < 0.7)
    assert len(pixels) > 2 * 2 * 8 * ROW_BLOCK
    chain_weights = products.product(rng.standard_normal((count, 16)))
    runs = []
    for threads in (1, 2, 5):
        out, chained = (filled_plane(*size, n, dtype=products.dtype) for n in (count, 16))
        sums = kernels.rows(
            *size, pixels, sources, weights, out, sums=True,
            chain=(chain_weights, None, chained, False), threads=threads, isa=products.isa,
        )  # fmt: skip
        runs.append((out.tobytes(), chained.tobytes(), sums.tobytes()))
    assert runs[0] == runs[1] == runs[2]


@per_products
@pytest.mark.parametrize("has_bias", [False, True])
def test_what_is_stored_past_the_cache(products, has_bias):
    rng = np.random.default_rng(0)
    x, residual, out, chained = (
        integer_plane(rng, LARGE, count, products) for count in (16, 48, 128, 128)
    )
    pixels = pixels_where(rng.random(LARGE) < 0.5)
    sources, weights = [(x, 0, 0, 0, 16, None)], products.product(integers(rng, 16, 48))
    chain_weights = products.product(integers(rng, 2 * 48, 64), [48, 48])
    bias = integers(rng, 64) if has_bias else None

    def call(out, chained, threads):
        return kernels.rows(
            *LARGE, pixels, sources, weights, out, residual=residual, sums=True,
            chain=(chain_weights, bias, chained, True), threads=threads, isa=products.isa,
        )  # fmt: skip

    assert_stored_alike_past_the_cache(call, out, chained)


@pytest.mark.parametrize("isa", [isa for isa in kernels.available() if kernels.has_half(isa)])
def test_float_kernels_are_shared_by_instruction_sets_with_bfloat16(isa):
    rng = np.random.default_rng(0)
    size = (9, 13)
    x = plane_of(rng.standard_normal((40, *size), np.float32))
    weights = packing.product(rng.standard_normal((40, 48)))
    pixels = pixels_where(np.ones(size, bool))
    results = []
    for name in (FLOATS[-1].isa, isa):
        out = filled_plane(*size, 48)
        kernels.rows(*size, pixels, [(x, 0, 0, 0, 40, None)], weights, out, isa=name)
        results.append(out.tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("products", HALVES, ids=str)
@pytest.mark.parametrize("has_residual", [False, True])
def test_features_in_bfloat16_become_floats(products, has_residual):
    rng = np.random.default_rng(0)
    size = (5, 19)
    outputs = products._replace(half=False)
    x, residual = integer_plane(rng, size, 35, products), integer_plane(rng, size, 48, outputs)
    weights, bias = integers(rng, 35, 48), integers(rng, 48)
    pixels = pixels_where(rng.random(size) < 0.7)
    sources = [Source(x, 0, 0, 0, 35, None)]
    value = product(pixels, sources, weights) + bias
    options = {"residual": residual} if has_residual else {}
    value += flat(unfold(residual))[pixels, :48] if has_residual else 0
    out = filled_plane(*size, 80, dtype=outputs.dtype)
    expected = unfold(out).astype(np.float64)
    kept = stored(value, outputs)
    flat(expected)[pixels, : kept.shape[1]] = kept
    packed = products.product(weights)
    kernels.rows(*size, pixels, sources, packed, out, bias=bias, isa=products.isa, **options)
    assert_planes_equal(out, expected)


@per_products
def test_rows_of_a_plane_are_an_image(products):
    """Some rows of every line, with what lies around them for a border."""
    rng, size, rows = np.random.default_rng(0), (20, 19), slice(8, 14)
    image, kernel = integers(rng, 40, *size), integers(rng, 16, 40, 3, 3)
    x = plane_of(image, dtype=products.dtype)
    out = filled_plane(*size, 16, dtype=products.dtype)
    expected = unfold(out).astype(np.float64)
    inside(expected, *size)[rows] = stored(conv3x3(image, kernel), products)[rows]
    part = [plane[:, rows.start : rows.start + 8 + 2] for plane in (x, out)]
    pixels = pixels_where(np.ones((6, size[1]), bool))
    sources = [(part[0], dy, dx, 0, 40, None) for dy, dx in NEIGHBOURS]
    kernels.rows(6, size[1], pixels, sources, products.taps(kernel), part[1], isa=products.isa)
    assert_planes_equal(out, expected)


@pytest.mark.skipif("avx2" not in kernels.available(), reason="the processor has no AVX2")
def test_sums_of_avx2_stay_in_registers():
    """Where they are spilled, its eight lanes are but twice as fast as four, not three times."""
    size, depth = (8, 48), 64
    x, out = (filled_plane(*size, depth) for _ in range(2))
    weights = packing.taps(np.ones((depth, depth, 3, 3)))
    pixels = pixels_where(np.ones(size, bool))
    sources = [(x, dy, dx, 0, depth, None) for dy, dx in NEIGHBOURS]
    least = {"baseline": np.inf, "avx2": np.inf}
    for _ in range(9):
        for isa in least:
            begin = time.thread_time()
            kernels.rows(*size, pixels, sources, weights, out, threads=1, isa=isa)
            least[isa] = min(least[isa], time.thread_time() - begin)
    assert least["baseline"] > 2.5 * least["avx2"]
