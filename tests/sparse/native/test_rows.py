"""Products over the rows of a list of pixels.

Most inputs are small integers: their sums are exact in float32 in any order, so that the results
must be equal to the last bit.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    ACTIVE,
    INACTIVE,
    LARGE,
    SIZES,
    activity_of,
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

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
#: Pixels of one work item, `kRowBlock` of csrc/kernels.h.
ROW_BLOCK = 48
#: Rounding to float32, 24 bits.
FLOAT_EPS = 2.0**-24
#: The bits of a bfloat16 that is no number.
HALF_NAN = 0x7FC0

sizes = st.tuples(st.integers(1, 14), st.integers(1, 20))
densities = st.sampled_from([0.0, 0.1, 0.5, 1.0])
#: Counts of channels below, at and beyond the vectors and panels of every instruction set.
counts = st.sampled_from([1, 3, 8, 15, 16, 17, 32, 40, 64, 80])


def integers(rng, *shape):
    """Return integers of −3…3."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def integer_plane(rng, size, channels, products):
    return plane_of(integers(rng, channels, *size), dtype=products.dtype)


class Source(NamedTuple):
    """A source as the kernel takes it."""

    plane: np.ndarray
    dy: int
    dx: int
    first: int
    channels: int
    activity: np.ndarray | None


def product(pixels, sources, weights):
    """Return the sum over sources of row(pixel + offset)·weights in float64, (pixels, N)."""
    value, k = np.zeros((len(pixels), weights.shape[1])), 0
    for source in sources:
        values = unfold(source.plane)
        at = pixels + source.dy * values.shape[1] + source.dx
        last = source.first + source.channels
        seen = flat(values)[at, source.first : last].astype(np.float64)
        if source.activity is not None:
            seen[source.activity.ravel()[at] != ACTIVE] = 0
        value += seen @ weights[k : k + source.channels].astype(np.float64)
        k += source.channels
    return value


def padded(values, line=packing.LINE):
    """Pad the last axis with zeros to whole panels, or lines."""
    return packing.pad(values, values.ndim - 1, packing.padded(values.shape[-1], line))


def stored(values, products):
    """Return what a plane keeps of values, filled up to whole lines."""
    return padded(products.kept(values), products.line)


def check_conv(products, mask, depth=16, count=16, seed=0):
    """Convolve at the pixels of a mask and compare all of `out`."""
    rng = np.random.default_rng(seed)
    image, kernel = integers(rng, depth, *mask.shape), integers(rng, count, depth, 3, 3)
    x = plane_of(image, dtype=products.dtype)
    pixels = pixels_where(mask)
    out = filled_plane(*mask.shape, count, dtype=products.dtype)
    expected = unfold(out).astype(np.float64)
    inside(expected, *mask.shape)[mask] = stored(conv3x3(image, kernel), products)[mask]
    sources = [(x, dy, dx, 0, depth, None) for dy, dx in NEIGHBOURS]
    kernels.rows(*mask.shape, pixels, sources, products.taps(kernel), out, isa=products.isa)
    assert_planes_equal(out, expected)


@per_products
@given(
    size=sizes, density=densities, depth=st.integers(1, 40), count=counts, seed=st.integers(0, 999)
)
@settings(max_examples=40)
def test_equals_the_convolution_at_any_pixels(products, size, density, depth, count, seed):
    mask = np.random.default_rng(seed).random(size) < density
    check_conv(products, mask, depth, count, seed)


@per_products
@pytest.mark.parametrize("count", [16, 32, 48, 64])
@pytest.mark.parametrize(
    "pixels", [0, 1, 2, 3, 5, 6, 7, 11, 12, 13, ROW_BLOCK - 1, ROW_BLOCK, ROW_BLOCK + 1]
)
def test_boundaries_of_pixels(products, pixels, count):
    mask = np.zeros((7, 11), bool)
    mask.flat[np.random.default_rng(pixels).permutation(mask.size)[:pixels]] = True
    check_conv(products, mask, count=count)


@per_products
@pytest.mark.parametrize("size", SIZES)
def test_boundaries_of_sizes_with_everything_active(products, size):
    check_conv(products, np.ones(size, bool))


@per_products
@pytest.mark.parametrize(("depth", "count"), [(1, 1024), (1024, 1), (100, 112)])
def test_many_channels(products, depth, count):
    check_conv(products, np.ones((2, 3), bool), depth, count)


@st.composite
def sources_of(draw, size, products):
    """Draw sources from up to three planes; sparse ones hold NaN where they may not be seen."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    planes = [integer_plane(rng, size, draw(st.integers(1, 48)), products) for _ in range(3)]
    activity = activity_of(rng.random(size) < draw(densities))
    hidden = planes[2]
    hidden[:, activity == INACTIVE] = HALF_NAN if products.half else np.nan
    sources = []
    for _ in range(draw(st.integers(0, 12))):
        plane = draw(st.sampled_from(planes))
        line = products.line
        first = draw(st.integers(0, len(plane) - 1)) * line
        channels = draw(st.integers(1, len(plane) * line - first))
        steps = st.integers(-1, 1)
        sources.append(
            Source(
                plane, draw(steps), draw(steps), first, channels,
                activity if plane is hidden else None,
            )
        )  # fmt: skip
    return sources


@per_products
@given(data=st.data(), size=sizes, density=densities, count=counts, seed=st.integers(0, 999))
@settings(max_examples=40)
def test_equals_any_sum_of_products(products, data, size, density, count, seed):
    rng = np.random.default_rng(seed)
    sources = data.draw(sources_of(size, products))
    pixels = rng.permutation(pixels_where(rng.random(size) < density))
    weights = integers(rng, sum(source.channels for source in sources), count)
    value = padded(product(pixels, sources, weights))
    spare = data.draw(st.sampled_from([0, products.line]))
    out = filled_plane(*size, value.shape[1] + spare, dtype=products.dtype)
    options = {"threads": data.draw(st.integers(1, 3))}
    if data.draw(st.booleans()):
        options["bias"] = integers(rng, value.shape[1])
        value += options["bias"]
    if data.draw(st.booleans()):
        options["scale"] = integers(rng, value.shape[1])
        value *= options["scale"]
    residual = data.draw(st.sampled_from(["none", "another plane", "in place"]))
    added = None
    if residual != "none":
        spare = 2 * products.line
        options["residual"] = integer_plane(rng, size, value.shape[1] + spare, products)
        added = flat(unfold(options["residual"]))[pixels, : value.shape[1]]
        value += added
    if residual == "in place":
        out = options["residual"]
    if data.draw(st.booleans()):
        options["relu"] = True
        value = np.maximum(value, 0)
    expected = unfold(out).astype(np.float64)
    kept = stored(value, products)
    flat(expected)[pixels, : kept.shape[1]] = kept

    if data.draw(st.booleans()):
        options["chain"], chained = draw_chain(products, data, rng, size, pixels, value, added)
    packed = products.product(weights, [source.channels for source in sources])
    sums = kernels.rows(*size, pixels, sources, packed, out, isa=products.isa, sums=True, **options)
    assert_planes_equal(out, expected)
    assert np.array_equal(sums, value.sum(0))
    if "chain" in options:
        assert_planes_equal(options["chain"][2], chained)


def draw_chain(products, data, rng, size, pixels, value, residual):
    """Return a chain for the kernel, and what its plane should hold afterwards."""
    count = data.draw(counts)
    if residual is not None and data.draw(st.booleans()):
        value = np.concatenate([residual, value], 1)
    weights = padded(integers(rng, value.shape[1], count))
    spare = data.draw(st.sampled_from([0, products.line]))
    out = integer_plane(rng, size, weights.shape[1] + spare, products)
    bias = integers(rng, weights.shape[1]) if data.draw(st.booleans()) else None
    relu = data.draw(st.booleans())
    expected = unfold(out).astype(np.float64)
    start = flat(expected)[pixels, : weights.shape[1]] if bias is None else bias
    result = start + products.rounded(value) @ weights
    kept = stored(np.maximum(result, 0) if relu else result, products)
    flat(expected)[pixels, : kept.shape[1]] = kept
    return (products.product(weights), bias, out, relu), expected


@per_products
@pytest.mark.parametrize("depth", [1, 64, 1024])
def test_rounds_no_more_than_its_products_and_a_float32_sum_in_any_order(products, depth):
    rng = np.random.default_rng(depth)
    size, pixels = (3, 5), pixels_where(np.ones((3, 5), bool))
    image = rng.standard_normal((depth, *size), np.float32)
    weights = rng.standard_normal((depth, 16), np.float32)
    out = filled_plane(*size, 16, dtype=products.dtype)
    sources = [Source(plane_of(image, dtype=products.dtype), 0, 0, 0, depth, None)]
    kernels.rows(*size, pixels, sources, products.product(weights), out, isa=products.isa)
    magnitudes = plane_of(np.abs(image), dtype=products.dtype)
    x_of_magnitudes = [Source(magnitudes, 0, 0, 0, depth, None)]
    bound = (depth * FLOAT_EPS + 2.01 * products.eps) * product(
        pixels, x_of_magnitudes, np.abs(weights)
    )
    error = np.abs(flat(unfold(out))[pixels, :16] - product(pixels, sources, weights))
    assert (error <= bound).all()


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
@pytest.mark.parametrize("relu", [False, True])
def test_nan_reaches_the_output_of_the_pixels_that_see_it(products, relu):
    rng = np.random.default_rng(0)
    size = (6, 7)
    x = integer_plane(rng, size, 16, products)
    x[0, 3, 4, 5] = HALF_NAN if products.half else np.nan  # pixel (2, 3)
    out, chained = (filled_plane(*size, 16, dtype=products.dtype) for _ in range(2))
    sources = [(x, dy, dx, 0, 16, None) for dy, dx in NEIGHBOURS]
    weights = products.taps(integers(rng, 16, 16, 3, 3))
    chain = (products.product(integers(rng, 16, 16)), None, chained, relu)
    pixels = pixels_where(np.ones(size, bool))
    kernels.rows(*size, pixels, sources, weights, out, relu=relu, chain=chain, isa=products.isa)
    sees = np.zeros(size, bool)
    sees[1:4, 2:5] = True
    for plane in (out, chained):
        found = inside(unfold(plane), *size)[..., :16]
        assert (np.isnan(found).all(2) == sees).all()
        assert np.isfinite(found[~sees]).all()


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
