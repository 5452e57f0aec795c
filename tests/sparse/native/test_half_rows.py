"""Products over the bfloat16 rows of the pixels of a list of runs.

Most inputs are small integers, exact in bfloat16 as their sums are in float32 in any order: the
results must be equal to the last bit, and are rounded once where they are stored in bfloat16.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    LARGE,
    SENTINEL,
    SIZES,
    activity_of,
    all_runs,
    assert_planes_equal,
    assert_stored_alike_past_the_cache,
    conv3x3,
    filled_plane,
    flat,
    fold,
    from_bfloat16,
    in_runs,
    inside,
    pixels_where,
    plane_of,
    rounded,
    run_columns,
    to_bfloat16,
    unfold,
)

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

HALF_LINE, ACTIVE, INACTIVE = kernels.HALF_LINE, kernels.ACTIVE, kernels.INACTIVE
NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
#: Runs of one work item, and work items computed together: `kItemRuns` and `kHalfItems` of csrc.
ITEM_RUNS, ITEMS = 2, 8
#: Rounding to float32, 24 bits.
EPS = 2.0**-24

HALF_ISAS = [isa for isa in kernels.available() if kernels.has_half(isa)]
pytestmark = pytest.mark.skipif(not HALF_ISAS, reason="this processor has no bfloat16 kernels")
per_isa = pytest.mark.parametrize("isa", HALF_ISAS)
per_dtype = pytest.mark.parametrize("dtype", [np.float32, np.uint16])
sizes = st.tuples(st.integers(1, 9), st.integers(1, 40))
densities = st.sampled_from([0.0, 0.1, 0.5, 1.0])
counts = st.sampled_from([1, 15, 16, 17, 32, 40, 64, 80])


def integers(rng, *shape):
    """Return integers of −3…3."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def integer_plane(rng, size, channels, dtype):
    return plane_of(integers(rng, channels, *size), dtype=dtype)


def half_plane(rng, size, lines):
    return integer_plane(rng, size, lines * HALF_LINE, np.uint16)


def padded(values, multiple=kernels.LINE):
    """Pad the last axis with zeros to whole panels, or lines."""
    return packing.pad(values, values.ndim - 1, packing.padded(values.shape[-1], multiple))


class Source(NamedTuple):
    """A source as the kernel takes it."""

    plane: np.ndarray
    dy: int
    dx: int
    lines: int


def around(x):
    """Return the sources of a 3×3 convolution over a plane."""
    return [Source(x, dy, dx, len(x)) for dy, dx in NEIGHBOURS]


def product(pixels, sources, weights):
    """Return the sum over sources of row(pixel + offset)·weights in float64, (pixels, N)."""
    value, k = np.zeros((len(pixels), weights.shape[1])), 0
    for source in sources:
        values = unfold(source.plane).astype(np.float64)
        at = pixels + source.dy * values.shape[1] + source.dx
        channels = source.lines * HALF_LINE
        value += flat(values)[at, :channels] @ weights[k : k + channels]
        k += channels
    return value


def store(expected, value, runs, size, mask, dense_lines, dtype):
    """Store rows as the kernel should.

    Args:
        expected: The unfolded output, which is changed.
        value: (H, W, N padded to panels).
        runs: Those that are computed.
        size: Of the image.
        mask: (H, W) bool, the pixels to store of these runs.
        dense_lines: The argument.
        dtype: Of the output.

    Returns:
        The (H, W) mask of what was stored.
    """
    value = padded(value, HALF_LINE) if dtype == np.uint16 else value
    listed = in_runs(runs, *size)
    stored = inside(listed, *size) & mask
    if dtype == np.uint16 and dense_lines is not None:
        first = max(dense_lines, 0) * HALF_LINE
        expected[listed, first : value.shape[2]] = 0
        inside(listed, *size)[stored] = False
    inside(expected, *size)[stored, : value.shape[2]] = rounded(value, dtype)[stored]
    return stored


def check_conv(isa, size, runs, depth=32, count=32, seed=0, threads=1):
    """Convolve at runs and compare all of `out`."""
    rng = np.random.default_rng(seed)
    image, kernel = integers(rng, depth, *size), integers(rng, count, depth, 3, 3)
    out = filled_plane(*size, count, dtype=np.uint16)
    expected = unfold(out)
    value = padded(conv3x3(image, kernel))
    store(expected, value, runs, size, np.ones(size, bool), None, np.uint16)
    sources = around(plane_of(image, dtype=np.uint16))
    runs, weights = np.array(runs, np.int32), packing.half_taps(kernel)
    kernels.half_rows(*size, runs, sources, weights, out, threads=threads, isa=isa)
    assert_planes_equal(out, expected)


@per_isa
@pytest.mark.parametrize("count", [16, 32, 48, 64])
@pytest.mark.parametrize(
    "runs", [0, 1, 2, 3, 4, 5, ITEM_RUNS * ITEMS - 1, ITEM_RUNS * ITEMS, ITEM_RUNS * ITEMS + 1]
)
def test_boundaries_of_lists_of_runs(isa, runs, count):
    size = (7, 37)
    listed = np.random.default_rng(runs).permutation(all_runs(*size))[:runs]
    check_conv(isa, size, listed, count=count)


@per_isa
@pytest.mark.parametrize("width", [1, 2, 15, 16, 17, 31, 32, 33, 48])
@pytest.mark.parametrize("height", [1, 2, 3, 4, 5])
def test_boundaries_of_runs(isa, height, width):
    check_conv(isa, (height, width), all_runs(height, width))


@per_isa
@pytest.mark.parametrize("size", SIZES)
def test_boundaries_of_sizes(isa, size):
    check_conv(isa, size, all_runs(*size)[::-1], seed=1)


@per_isa
@pytest.mark.parametrize(("depth", "count"), [(1, 1024), (1024, 1), (200, 112)])
def test_many_channels(isa, depth, count):
    check_conv(isa, (2, 19), all_runs(2, 19), depth, count)


@st.composite
def sources_of(draw, size):
    """Draw sources from three planes."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    planes = [half_plane(rng, size, draw(st.integers(1, 3))) for _ in range(3)]
    sources, steps = [], st.integers(-1, 1)
    for _ in range(draw(st.integers(0, 16))):
        plane = draw(st.sampled_from(planes))
        sources.append(Source(plane, draw(steps), draw(steps), draw(st.integers(1, len(plane)))))
    return sources


@st.composite
def run_lists(draw, size):
    """Draw runs in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    runs = all_runs(*size)
    runs = runs[rng.random(len(runs)) < draw(densities)]
    return rng.permutation(runs) if draw(st.booleans()) else runs


@per_isa
@given(data=st.data(), size=sizes, count=counts, seed=st.integers(0, 999))
@settings(max_examples=100)
def test_equals_any_sum_of_products(isa, data, size, count, seed):
    rng = np.random.default_rng(seed)
    sources, runs = data.draw(sources_of(size)), data.draw(run_lists(size))
    weights = integers(rng, sum(source.lines for source in sources) * HALF_LINE, count)
    value = padded(product(pixels_where(np.ones(size, bool)), sources, weights))
    value = value.reshape(*size, -1)
    dtype = data.draw(st.sampled_from([np.uint16, np.float32]))
    out = filled_plane(*size, value.shape[2] + data.draw(st.sampled_from([0, 32])), dtype=dtype)
    options = {"threads": data.draw(st.integers(1, 3))}
    if data.draw(st.booleans()):
        options["bias"] = integers(rng, value.shape[2])
        value += options["bias"]
    residual = data.draw(st.sampled_from(["none", "another plane", "in place"]))
    if residual != "none":
        options["residual"] = integer_plane(rng, size, len(out) * out.shape[3], dtype)
        value += inside(unfold(options["residual"]), *size)[..., : value.shape[2]]
    if residual == "in place":
        out = options["residual"]
    if data.draw(st.booleans()):
        options["relu"] = True
        value = np.maximum(value, 0)
    mask = np.ones(size, bool)
    if data.draw(st.booleans()):
        active = rng.random(size) < data.draw(densities)
        stored = data.draw(st.sampled_from([ACTIVE, INACTIVE]))
        options |= {"activity": activity_of(active), "stored": stored}
        mask = active if stored == ACTIVE else ~active
    options["dense_lines"] = data.draw(st.sampled_from([None, 0, 1, 2, 5]))

    expected = unfold(out).copy()
    stored = store(expected, value, runs, size, mask, options["dense_lines"], dtype)
    packed = packing.half_product(weights)
    sums = kernels.half_rows(*size, runs, sources, packed, out, sums=True, isa=isa, **options)
    assert_planes_equal(out, expected)
    assert np.array_equal(sums, value[stored].sum(0))
    assert kernels.half_rows(*size, runs[:0], sources, packed, out, isa=isa, **options) is None
    assert_planes_equal(out, expected)


@per_isa
@pytest.mark.parametrize("dense_lines", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("stored", [ACTIVE, INACTIVE])
def test_lines_that_are_not_dense_become_zero_where_nothing_is_stored(isa, dense_lines, stored):
    size, runs = (3, 33), np.array([0, 4, 5, 8], np.int32)
    active = np.arange(3 * 33).reshape(size) % 5 < 2
    out = filled_plane(*size, 3 * HALF_LINE, dtype=np.uint16)
    expected, value = unfold(out), np.zeros((*size, 2 * HALF_LINE))
    bias = np.arange(2 * HALF_LINE, dtype=np.float32)
    mask = active if stored == ACTIVE else ~active
    store(expected, value + bias, runs, size, mask, dense_lines, np.uint16)
    nothing = packing.half_product(np.zeros((0, value.shape[2])))
    kernels.half_rows(
        *size, runs, [], nothing, out, bias=bias, activity=activity_of(active), stored=stored,
        dense_lines=dense_lines, isa=isa,
    )  # fmt: skip
    assert_planes_equal(out, expected)


@per_isa
@pytest.mark.parametrize("lines", [1, 2])
def test_rows_without_sources_are_zero(isa, lines):
    """So sparse layers clear what a mask before has left."""
    size, runs = (2, 20), np.array([1, 2], np.int32)
    out = filled_plane(*size, 3 * HALF_LINE, dtype=np.uint16)
    expected = unfold(out)
    value = np.zeros((*size, lines * HALF_LINE))
    store(expected, value, runs, size, np.ones(size, bool), None, np.uint16)
    nothing = packing.half_product(np.zeros((0, value.shape[2])))
    kernels.half_rows(*size, runs, [], nothing, out, isa=isa)
    assert_planes_equal(out, expected)


@per_isa
@per_dtype
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_not_stored_touch_nothing(isa, dtype, bad):
    """They are computed as well, with whatever lies there."""
    rng = np.random.default_rng(0)
    size = (3, 37)
    mask = rng.random(size) < 0.5
    values = unfold(half_plane(rng, size, 1))
    weights = integers(rng, HALF_LINE, 32)
    value = inside(values, *size) @ weights
    inside(values, *size)[~mask] = bad
    out = filled_plane(*size, 32, dtype=dtype)
    expected = unfold(out)
    store(expected, value, all_runs(*size), size, mask, None, dtype)
    sums = kernels.half_rows(
        *size, all_runs(*size), [(fold(values, np.uint16), 0, 0, 1)],
        packing.half_product(weights), out, activity=activity_of(mask), sums=True, isa=isa,
    )  # fmt: skip
    assert_planes_equal(out, expected)
    assert np.array_equal(sums, value[mask].sum(0))


def pairs_of(size, rng=None):
    """Return runs in pairs, one above the other; given `rng`, some pairs in any order."""
    columns = run_columns(size[1])
    upper = all_runs(*size).reshape(-1, 2, columns)[:, 0].ravel()
    if rng is not None:
        upper = rng.permutation(upper)[: rng.integers(len(upper) + 1)]
    return np.stack([upper, upper + columns], 1).ravel().astype(np.int32)


def check_pooling(isa, half, relu=True, count=16, runs=None, seed=0):
    rng = np.random.default_rng(seed)
    size = (2 * half[0], 2 * half[1])
    runs = pairs_of(size, rng) if runs is None else runs
    image, kernel = integers(rng, 32, *size), integers(rng, count, 32, 3, 3)
    bias = integers(rng, packing.padded(count))
    value = padded(conv3x3(image, kernel)) + bias
    value = np.maximum(value, 0) if relu else value
    out = filled_plane(*half, len(bias) + 16)
    expected = unfold(out)
    means = value.reshape(half[0], 2, half[1], 2, -1).mean((1, 3))
    listed = inside(in_runs(runs, *size), *size)[::2, ::2]
    inside(expected, *half)[listed, : len(bias)] = means[listed]
    kernels.half_rows(
        *size, runs, around(plane_of(image, dtype=np.uint16)), packing.half_taps(kernel), out,
        bias=bias, relu=relu, pool=True, isa=isa,
    )  # fmt: skip
    assert_planes_equal(out, expected)


@per_isa
@given(
    half=st.tuples(st.integers(1, 5), st.integers(1, 20)),
    relu=st.booleans(),
    count=counts,
    seed=st.integers(0, 999),
)
@settings(max_examples=60)
def test_pooling_stores_means_of_2x2_pixels(isa, half, relu, count, seed):
    check_pooling(isa, half, relu, count, seed=seed)


@per_isa
@pytest.mark.parametrize("half", [(1, 1), (1, 7), (1, 8), (1, 9), (2, 16), (3, 17)])
def test_boundaries_of_pooling(isa, half):
    check_pooling(isa, half, runs=pairs_of((2 * half[0], 2 * half[1])))


@per_isa
@pytest.mark.parametrize("lines", [1, 2, 32])
def test_rounds_no_more_than_a_float32_sum_in_any_order(isa, lines):
    rng = np.random.default_rng(lines)
    size, depth = (3, 5), lines * HALF_LINE
    pixels = pixels_where(np.ones(size, bool))
    x = plane_of(rng.standard_normal((depth, *size)), dtype=np.uint16)
    weights = from_bfloat16(to_bfloat16(rng.standard_normal((depth, 16)))).astype(np.float64)
    out = filled_plane(*size, 16)
    sources = [Source(x, 0, 0, lines)]
    packed = packing.half_product(weights)
    kernels.half_rows(*size, all_runs(*size), sources, packed, out, isa=isa)
    magnitudes = [Source(to_bfloat16(np.abs(from_bfloat16(x))), 0, 0, lines)]
    bound = depth * EPS * product(pixels, magnitudes, np.abs(weights))
    error = np.abs(flat(unfold(out))[pixels] - product(pixels, sources, weights))
    assert (error <= bound).all()


@per_isa
def test_threads_do_not_change_a_bit(isa):
    rng = np.random.default_rng(0)
    size = (171, 50)
    x = plane_of(rng.standard_normal((32, *size)), dtype=np.uint16)
    weights = packing.half_taps(rng.standard_normal((48, 32, 3, 3)))
    runs = all_runs(*size)[rng.random(size[0] * run_columns(size[1])) < 0.9]
    assert len(runs) > 2 * 8 * ITEMS * ITEM_RUNS  # more than pieces of so many
    activity = activity_of(rng.random(size) < 0.5)
    results = []
    for threads in (1, 2, 5):
        out = filled_plane(*size, 64, dtype=np.uint16)
        sums = kernels.half_rows(
            *size, runs, around(x), weights, out, activity=activity, dense_lines=1, sums=True,
            threads=threads, isa=isa,
        )  # fmt: skip
        results.append((out.tobytes(), sums.tobytes()))
    assert results[0] == results[1] == results[2]


@per_isa
@pytest.mark.parametrize(
    ("dtype", "channels", "has_residual"),
    [(np.uint16, 128, False), (np.uint16, 128, True), (np.float32, 64, False)],
)
def test_what_is_stored_past_the_cache(isa, dtype, channels, has_residual):
    rng = np.random.default_rng(0)
    x = half_plane(rng, LARGE, 1)
    out = filled_plane(*LARGE, channels, dtype=dtype)
    weights = packing.half_product(integers(rng, HALF_LINE, channels - 16))
    runs = rng.permutation(all_runs(*LARGE))[:701]
    options = {"activity": activity_of(rng.random(LARGE) < 0.5), "sums": True, "dense_lines": 2}
    if has_residual:
        options["residual"] = half_plane(rng, LARGE, 4)
    call = partial(kernels.half_rows, *LARGE, runs, [(x, 0, 0, 1)], weights, isa=isa, **options)
    assert_stored_alike_past_the_cache(call, out)


@per_isa
@pytest.mark.parametrize("relu", [False, True])
@per_dtype
def test_nan_reaches_the_output_of_the_pixels_that_see_it(isa, relu, dtype):
    rng = np.random.default_rng(0)
    size = (6, 19)
    x = unfold(half_plane(rng, size, 1))
    inside(x, *size)[2, 3, 5] = np.nan
    out = filled_plane(*size, 32, dtype=dtype)
    sources = around(fold(x, np.uint16))
    weights = packing.half_taps(integers(rng, 32, 32, 3, 3))
    kernels.half_rows(*size, all_runs(*size), sources, weights, out, relu=relu, isa=isa)
    sees = np.zeros(size, bool)
    sees[1:4, 2:5] = True
    image = inside(unfold(out), *size)
    assert (np.isnan(image).all(2) == sees).all()
    assert np.isfinite(image[~sees]).all()
    assert (image[~sees] != SENTINEL).any()
