"""The convolution that sees the image, in each arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from native_planes import (
    LARGE,
    SIZES,
    assert_planes_equal,
    assert_stored_alike_past_the_cache,
    conv3x3,
    filled_plane,
    inside,
    rounded,
    unfold,
)

from smsr_plugin.archs.steps import RELU
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import BFLOAT16, FLOAT32
from smsr_plugin.sparse.native.layers import ImageConv
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import Run

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")
ARITHMETICS = [FLOAT32, *([BFLOAT16] if kernels.has_half() else [])]
per_arithmetic = pytest.mark.parametrize("arithmetic", ARITHMETICS)


def first_conv(arithmetic, lq, kernel, bias):
    """Return the layer's output, (H, W, N)."""
    planes = Planes()
    planes.resize(*lq.shape[1:])
    out = arithmetic.plane(planes, "out", len(kernel))
    ImageConv(kernel, bias, RELU)(Run(kernels, planes, 1), lq, out)
    return inside(unfold(out), *lq.shape[1:])[..., : len(kernel)]


@per_arithmetic
@pytest.mark.parametrize("channels", [1, 3, 15])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("has_ones", [True, False])
def test_convolves_the_image_and_a_channel_of_ones(arithmetic, size, channels, has_ones):
    rng = np.random.default_rng(0)
    lq = rng.integers(0, 2, (channels, *size)).astype(np.float32)
    kernel, bias = rng.integers(-1, 2, (20, channels + 1, 3, 3)), rng.integers(-3, 4, 20)
    kernel[:, -1] *= has_ones  # without weights it need not be there
    ones = np.ones((1, *size), np.float32)
    value = conv3x3(np.concatenate([lq, ones]), kernel) + bias
    assert np.abs(value).max() < 2**8  # exact in bfloat16
    found = first_conv(arithmetic, lq, kernel.astype(np.float64), bias.astype(np.float64))
    assert np.array_equal(found, np.maximum(value, 0))


@per_arithmetic
def test_keeps_16_bits_of_the_image(arithmetic):
    """Small contrasts of a bright image, which 8 bits would not hold."""
    rng = np.random.default_rng(0)
    steps = rng.integers(0, 8, (1, 6, 9))
    lq = (0.75 + steps * 2.0**-16).astype(np.float32)
    kernel = np.zeros((2, 2, 3, 3))
    kernel[0, 0, 1, 1:], kernel[1, 0, 1, 1:] = (1, -1), (-1, 1)
    found = first_conv(arithmetic, lq, kernel, np.zeros(2))[:, :-1]
    contrast = (steps[0, :, :-1] - steps[0, :, 1:]) * 2.0**-16
    assert np.array_equal(found[..., 0] - found[..., 1], contrast)


#: Instruction sets, and what they can store.
KINDS = [(isa, np.float32) for isa in kernels.available()]
KINDS += [(isa, np.uint16) for isa in kernels.available() if kernels.has_half(isa)]
per_kind = pytest.mark.parametrize(("isa", "dtype"), KINDS)


@per_kind
@pytest.mark.parametrize("count", [1, 16, 17, 48, 64, 80])
@pytest.mark.parametrize("slope", [None, 0.0, 0.25])
def test_every_instruction_set(isa, dtype, count, slope):
    """Integers: their sums are exact in any order. All of the plane is compared."""
    for size in [(1, 1), (3, 7), (5, 33)]:
        rng = np.random.default_rng(count)
        lq = rng.integers(-3, 4, (3, *size)).astype(np.float32)
        kernel, bias = rng.integers(-3, 4, (count, 3, 3, 3)), rng.integers(-3, 4, count)
        value = conv3x3(lq, kernel) + bias
        if slope is not None:
            value = np.where(value < 0, slope * value, value)
        out = filled_plane(*size, count, dtype=dtype)
        kernels.image(
            lq, packing.taps(kernel), out, bias=packing.vector(bias), relu=slope is not None,
            slope=slope or 0.0, isa=isa,
        )  # fmt: skip
        expected = unfold(out).astype(np.float64)
        stored = inside(expected, *size)
        stored[:] = 0
        stored[..., :count] = rounded(value, dtype)
        assert_planes_equal(out, expected)


@per_kind
def test_an_image_that_is_stored_past_the_cache(isa, dtype):
    rng = np.random.default_rng(0)
    lq = rng.random((3, *LARGE), np.float32)
    weights = packing.taps(rng.standard_normal((128, 3, 3, 3)))

    def call(out, threads):
        kernels.image(lq, weights, out, threads=threads, isa=isa)

    assert_stored_alike_past_the_cache(call, filled_plane(*LARGE, 128, dtype=dtype))
