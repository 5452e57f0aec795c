"""Products over the bfloat16 rows of a list of pixels.

Most inputs are small integers, exact in bfloat16 as their sums are in float32 in any order: the
results must be equal to the last bit, and are rounded once where they are stored in bfloat16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    SENTINEL,
    SIZES,
    activity_of,
    assert_planes_equal,
    conv3x3,
    filled_plane,
    from_bfloat16,
    inside,
    pixels_where,
    plane_of,
    to_bfloat16,
)

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.run import patches

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

LINE, HALF_LINE, BLOCK = kernels.LINE, kernels.HALF_LINE, kernels.HALF_BLOCK
NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
#: Rounding to float32, 24 bits.
EPS = 2.0**-24

HALF_ISAS = [isa for isa in kernels.available() if kernels.has_half(isa)]
pytestmark = pytest.mark.skipif(not HALF_ISAS, reason="this processor has no bfloat16 kernels")
per_isa = pytest.mark.parametrize("isa", HALF_ISAS)
sizes = st.tuples(st.integers(1, 14), st.integers(1, 24))
densities = st.sampled_from([0.0, 0.1, 0.5, 1.0])
counts = st.sampled_from([1, 15, 16, 17, 32, 40, 64, 80])


def integers(rng, *shape):
    """Return integers of −3…3."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def half_plane(rng, size, lines):
    return to_bfloat16(plane_of(integers(rng, lines * HALF_LINE, *size), lines * HALF_LINE))


def flat(plane):
    """View a plane as rows of channels."""
    return plane.reshape(-1, plane.shape[2])


def padded(values, multiple=LINE):
    """Pad the last axis with zeros to whole panels, or lines."""
    return packing.pad(values, values.ndim - 1, packing.padded(values.shape[-1], multiple))


class Source(NamedTuple):
    """A source as the kernel takes it."""

    plane: np.ndarray
    dy: int
    dx: int
    lines: int
    dense_lines: int
    bit: int


def product(pixels, neighbours, sources, weights):
    """Return the sum over sources of row(pixel + offset)·weights in float64, (pixels, N)."""
    value, k = np.zeros((len(pixels), weights.shape[1])), 0
    for source in sources:
        at = pixels + source.dy * source.plane.shape[1] + source.dx
        channels = source.lines * HALF_LINE
        seen = from_bfloat16(flat(source.plane)[at, :channels]).astype(np.float64)
        if source.bit >= 0:
            hidden = neighbours >> source.bit & 1 == 0
            seen[hidden, source.dense_lines * HALF_LINE :] = 0
        value += seen @ weights[k : k + channels]
        k += channels
    return value


def check_conv(isa, mask, depth=32, count=32, seed=0, pixels=None):
    """Convolve at the pixels of a mask and compare all of `out`."""
    rng = np.random.default_rng(seed)
    size = mask.shape
    image, kernel = integers(rng, depth, *size), integers(rng, count, depth, 3, 3)
    lines = packing.padded(depth, HALF_LINE)
    x = to_bfloat16(plane_of(image, lines))
    stored = packing.padded(count, HALF_LINE)
    out = to_bfloat16(filled_plane(*size, stored))
    expected = from_bfloat16(out)
    value = padded(conv3x3(image, kernel), HALF_LINE)
    inside(expected, *size)[mask] = from_bfloat16(to_bfloat16(value[mask]))
    sources = [(x, dy, dx, lines // HALF_LINE, 0, -1) for dy, dx in NEIGHBOURS]
    pixels = pixels_where(mask) if pixels is None else pixels
    kernels.half_rows(*size, pixels, sources, packing.half_taps(kernel), out, isa=isa)
    assert_planes_equal(from_bfloat16(out), expected)


@per_isa
@given(
    size=sizes, density=densities, depth=st.integers(1, 70), count=counts, seed=st.integers(0, 999)
)
@settings(max_examples=40, deadline=None)
def test_equals_the_convolution_at_any_pixels(isa, size, density, depth, count, seed):
    mask = np.random.default_rng(seed).random(size) < density
    check_conv(isa, mask, depth, count, seed)


@per_isa
@pytest.mark.parametrize("count", [16, 32, 48, 64])
@pytest.mark.parametrize(
    "pixels", [0, 1, 2, BLOCK // 2 - 1, BLOCK // 2, BLOCK // 2 + 1, BLOCK - 1, BLOCK, BLOCK + 1]
)
def test_boundaries_of_scattered_pixels(isa, pixels, count):
    mask = np.zeros((9, 11), bool)
    mask.flat[np.random.default_rng(pixels).permutation(mask.size)[:pixels]] = True
    check_conv(isa, mask, count=count)


@per_isa
@pytest.mark.parametrize("length", [1, 15, 16, 17, 31, 32, 33, 48, 64, 65])
def test_boundaries_of_runs_of_pixels(isa, length):
    mask = np.zeros((3, 67), bool)
    mask[1, 1 : 1 + length] = True
    check_conv(isa, mask)


@per_isa
@pytest.mark.parametrize("size", SIZES)
def test_boundaries_of_sizes_with_everything_active(isa, size):
    check_conv(isa, np.ones(size, bool))


@per_isa
@pytest.mark.parametrize(("depth", "count"), [(1, 1024), (1024, 1), (200, 112)])
@pytest.mark.parametrize("density", [0.5, 1.0])
def test_many_channels(isa, depth, count, density):
    check_conv(isa, np.random.default_rng(0).random((2, 19)) < density, depth, count)


@st.composite
def sources_of(draw, size):
    """Draw up to 16 sources from three planes."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    planes = [half_plane(rng, size, draw(st.integers(1, 3))) for _ in range(3)]
    sources = []
    for _ in range(draw(st.integers(0, 16))):
        plane = draw(st.sampled_from(planes))
        lines = draw(st.integers(1, plane.shape[2] // HALF_LINE))
        steps, dense, bit = st.integers(-1, 1), st.integers(0, lines), st.integers(-1, 15)
        sources.append(Source(plane, draw(steps), draw(steps), lines, draw(dense), draw(bit)))
    return sources


@per_isa
@given(data=st.data(), size=sizes, density=densities, count=counts, seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_equals_any_sum_of_products(isa, data, size, density, count, seed):
    rng = np.random.default_rng(seed)
    sources = data.draw(sources_of(size))
    pixels = pixels_where(rng.random(size) < density)
    if data.draw(st.booleans()):
        pixels = rng.permutation(pixels)
    neighbours = rng.integers(0, 1 << 16, len(pixels)).astype(np.uint16)
    if data.draw(st.booleans()):  # most pixels alike, as within a run of active ones
        alike = 0xFFFF - data.draw(st.sampled_from([0, 1 << 15, 1 << 4]))
        neighbours[rng.random(len(pixels)) < 0.99] = alike
    weights = integers(rng, sum(source.lines for source in sources) * HALF_LINE, count)
    value = padded(product(pixels, neighbours, sources, weights))
    options = {"neighbours": neighbours, "threads": data.draw(st.integers(1, 3))}
    as_floats = data.draw(st.booleans())
    if data.draw(st.booleans()):
        options["bias"] = integers(rng, value.shape[1])
        value += options["bias"]

    stored = packing.padded(value.shape[1], HALF_LINE)
    out = filled_plane(*size, stored + data.draw(st.sampled_from([0, 32])))
    residual = "none" if as_floats else data.draw(st.sampled_from(["none", "other", "in place"]))
    if residual != "none":
        residual_plane = half_plane(rng, size, out.shape[2] // HALF_LINE)
        options["residual"] = residual_plane
        value += from_bfloat16(flat(residual_plane)[pixels, : value.shape[1]])
    if residual == "in place":
        out = from_bfloat16(residual_plane)
    if data.draw(st.booleans()):
        options["relu"] = True
        value = np.maximum(value, 0)
    expected = out.copy()
    if as_floats:
        flat(expected)[pixels, : value.shape[1]] = value
    else:
        rounded = from_bfloat16(to_bfloat16(padded(value, HALF_LINE)))
        flat(expected)[pixels, :stored] = rounded
        out = residual_plane if residual == "in place" else to_bfloat16(out)

    packed = packing.half_product(weights)
    sums = kernels.half_rows(*size, pixels, sources, packed, out, sums=True, isa=isa, **options)
    assert_planes_equal(out if as_floats else from_bfloat16(out), expected)
    assert np.array_equal(sums, value.sum(0))


@per_isa
@pytest.mark.parametrize("bit", [0, 1, 8, 15])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 32])
def test_a_clear_bit_hides_a_source_from_a_run_of_pixels(isa, bit, length):
    size = (1, length)
    x = to_bfloat16(plane_of(np.ones((HALF_LINE, *size)), HALF_LINE))
    pixels, out = pixels_where(np.ones(size, bool)), filled_plane(*size, LINE)
    hidden = np.full(length, 0xFFFF - (1 << bit), np.uint16)
    weights = packing.half_product(np.ones((2 * HALF_LINE, LINE)))
    sources = [(x, 0, 0, 1, 0, -1), (x, 0, 0, 1, 0, bit)]
    kernels.half_rows(*size, pixels, sources, weights, out, neighbours=hidden, isa=isa)
    assert (inside(out, *size) == HALF_LINE).all()


@per_isa
@given(
    size=sizes,
    density=densities,
    dense_lines=st.integers(0, 2),
    seed=st.integers(0, 999),
    every=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_masks_hide_inputs(isa, size, density, dense_lines, seed, every):
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < density
    image, kernel = integers(rng, 2 * HALF_LINE, *size), integers(rng, 16, 2 * HALF_LINE, 3, 3)
    x = plane_of(image, 2 * HALF_LINE)
    sparse = dense_lines * HALF_LINE
    inside(x, *size)[~mask, sparse:] = np.nan  # may not be seen
    image[sparse:, ~mask] = 0
    active, inactive, *_, neighbours = kernels.list_active(*size, activity_of(mask))
    out = filled_plane(*size, 16)
    expected = out.copy()
    inside(expected, *size)[mask] = conv3x3(image, kernel)[mask]
    sources = [(to_bfloat16(x), *step, 2, dense_lines, b) for b, step in enumerate(NEIGHBOURS)]
    weights = packing.half_taps(kernel)
    kernels.half_rows(*size, active, sources, weights, out, neighbours=neighbours, isa=isa)
    if every:  # the dense inputs are seen from the other pixels too
        dense_only = image.copy()
        dense_only[sparse:] = 0
        inside(expected, *size)[~mask] = conv3x3(dense_only, kernel)[~mask]
        none = np.zeros(len(inactive), np.uint16)
        kernels.half_rows(*size, inactive, sources, weights, out, neighbours=none, isa=isa)
    assert_planes_equal(out, expected)


@per_isa
@given(
    half=st.tuples(st.integers(1, 5), st.integers(1, 20)),
    relu=st.booleans(),
    count=counts,
    seed=st.integers(0, 999),
)
@settings(max_examples=30, deadline=None)
def test_pooling_stores_means_of_2x2_pixels(isa, half, relu, count, seed):
    rng = np.random.default_rng(seed)
    size = (2 * half[0], 2 * half[1])
    image, kernel = integers(rng, 32, *size), integers(rng, count, 32, 3, 3)
    bias = integers(rng, packing.padded(count))
    value = padded(conv3x3(image, kernel)) + bias
    value = np.maximum(value, 0) if relu else value
    out = filled_plane(*half, len(bias) + 16)
    expected = out.copy()
    means = value.reshape(half[0], 2, half[1], 2, -1).mean((1, 3))
    inside(expected, *half)[..., : len(bias)] = means
    x = to_bfloat16(plane_of(image, 32))
    kernels.half_rows(
        *size,
        patches(*size, BLOCK // 2),
        [(x, dy, dx, 1, 0, -1) for dy, dx in NEIGHBOURS],
        packing.half_taps(kernel),
        out,
        bias=bias,
        relu=relu,
        pool=True,
        isa=isa,
    )
    assert_planes_equal(out, expected)


@per_isa
@pytest.mark.parametrize("lines", [1, 2, 32])
def test_rounds_no_more_than_a_float32_sum_in_any_order(isa, lines):
    rng = np.random.default_rng(lines)
    size, depth = (3, 5), lines * HALF_LINE
    pixels = pixels_where(np.ones(size, bool))
    x = to_bfloat16(plane_of(rng.standard_normal((depth, *size)), depth))
    weights = from_bfloat16(to_bfloat16(rng.standard_normal((depth, 16))))
    out = filled_plane(*size, 16)
    sources = [Source(x, 0, 0, lines, 0, -1)]
    kernels.half_rows(*size, pixels, sources, packing.half_product(weights), out, isa=isa)
    magnitudes = [Source(to_bfloat16(np.abs(from_bfloat16(x))), 0, 0, lines, 0, -1)]
    bound = depth * EPS * product(pixels, None, magnitudes, np.abs(weights))
    error = np.abs(flat(out)[pixels] - product(pixels, None, sources, weights.astype(np.float64)))
    assert (error <= bound).all()


@per_isa
def test_threads_do_not_change_a_bit(isa):
    rng = np.random.default_rng(0)
    size = (31, 67)
    x = to_bfloat16(plane_of(rng.standard_normal((64, *size)), 64))
    weights = packing.half_taps(rng.standard_normal((48, 64, 3, 3)))
    sources = [(x, dy, dx, 2, 0, -1) for dy, dx in NEIGHBOURS]
    pixels = pixels_where(rng.random(size) < 0.7)
    runs = []
    for threads in (1, 2, 5):
        out = to_bfloat16(filled_plane(*size, 64))
        sums = kernels.half_rows(
            *size, pixels, sources, weights, out, sums=True, threads=threads, isa=isa
        )
        runs.append((out.tobytes(), sums.tobytes()))
    assert runs[0] == runs[1] == runs[2]


@per_isa
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("as_floats", [False, True])
def test_nan_reaches_the_output_of_the_pixels_that_see_it(isa, relu, as_floats):
    rng = np.random.default_rng(0)
    size = (6, 19)
    x = plane_of(integers(rng, 32, *size), 32)
    inside(x, *size)[2, 3, 5] = np.nan
    out = filled_plane(*size, 32)
    out = out if as_floats else to_bfloat16(out)
    sources = [(to_bfloat16(x), dy, dx, 1, 0, -1) for dy, dx in NEIGHBOURS]
    weights = packing.half_taps(integers(rng, 32, 32, 3, 3))
    pixels = pixels_where(np.ones(size, bool))
    kernels.half_rows(*size, pixels, sources, weights, out, relu=relu, isa=isa)
    sees = np.zeros(size, bool)
    sees[1:4, 2:5] = True
    image = inside(out if as_floats else from_bfloat16(out), *size)
    assert (np.isnan(image).all(2) == sees).all()
    assert np.isfinite(image[~sees]).all()
    assert (image[~sees] != SENTINEL).any()
