"""The convolution that sees the image, in each arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from native_planes import SIZES, conv3x3, inside, unfold

from smsr_plugin.archs.steps import RELU
from smsr_plugin.sparse.native import bfloat16, float32
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import Run

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")
ARITHMETICS = [float32, *([bfloat16] if kernels.has_half() else [])]
per_arithmetic = pytest.mark.parametrize("arithmetic", ARITHMETICS)


def first_conv(arithmetic, lq, kernel, bias):
    """Return the layer's output, (H, W, N)."""
    planes = Planes()
    planes.resize(*lq.shape[1:])
    out = arithmetic.plane(planes, "out", len(kernel))
    spare = planes.plane("spare", kernels.LINE)
    arithmetic.ImageConv(kernel, bias, RELU)(Run(kernels, planes, 1), lq, out, spare)
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
