"""The enlarged image plus the pixel-shuffled residual, against PyTorch in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import plane_of

from smsr_plugin.sparse.native.upsampling import taps_of

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: Rounding to float32, 24 bits, in two sums of five terms and one addition, of values below 8.
CLOSE = {"rtol": 0, "atol": 8 * 16 * 2.0**-24}

#: Those with bfloat16 kernels share the float kernels of the one before.
FLOAT_ISAS = [isa for isa in kernels.available() if not kernels.has_half(isa)]
per_isa = pytest.mark.parametrize("isa", FLOAT_ISAS)


def upscaled(lq, residual, scale, mode="bicubic"):
    """Return what `compose` should: (C, H, W) and (C·s², H, W) → (C, H·s, W·s) in float64."""
    base = 0
    if mode != "none":
        base = F.interpolate(torch.from_numpy(lq)[None].double(), scale_factor=scale, mode=mode)
    return (base + F.pixel_shuffle(torch.from_numpy(residual)[None].double(), scale))[0].numpy()


def run(lq, residual, scale, isa, spare=0, threads=1, base="bicubic"):
    plane = plane_of(residual, len(residual) + spare)
    plane[:, 0] = plane[:, -1] = plane[:, :, 0] = plane[:, :, -1] = np.nan  # no part of the image
    channels, height, width = lq.shape
    sr = np.full((channels, height * scale, width * scale), np.nan, np.float32)
    taps = None if base == "none" else taps_of(base, scale)
    kernels.compose(lq, plane, taps, sr, scale=scale, threads=threads, isa=isa)
    return sr


@per_isa
@given(
    size=st.tuples(st.integers(1, 11), st.integers(1, 20)),
    channels=st.integers(1, 4),
    scale=st.sampled_from([1, 2, 3, 4, 5, 8]),
    spare=st.integers(0, 17),
    base=st.sampled_from(["bicubic", "bilinear", "nearest", "none"]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 999),
)
@settings(max_examples=60)
def test_equals_torch_for_any_size_and_scale(
    isa, size, channels, scale, spare, base, threads, seed
):
    rng = np.random.default_rng(seed)
    lq = rng.random((channels, *size), np.float32)
    residual = rng.standard_normal((channels * scale**2, *size), np.float32)
    sr = run(lq, residual, scale, isa, spare, threads, base)
    np.testing.assert_allclose(sr, upscaled(lq, residual, scale, base), **CLOSE)


@per_isa
def test_a_residual_of_zero_leaves_a_constant_image(isa):
    lq = np.full((1, 3, 5), 0.25, np.float32)
    sr = run(lq, np.zeros((9, 3, 5), np.float32), 3, isa)
    np.testing.assert_allclose(sr, 0.25, **CLOSE)


@per_isa
@pytest.mark.parametrize("where", ["lq", "residual"])
def test_nan_reaches_the_output(isa, where):
    rng = np.random.default_rng(0)
    values = {
        "lq": rng.random((1, 8, 8), np.float32),
        "residual": rng.random((4, 8, 8), np.float32),
    }
    values[where][0, 4, 3] = np.nan
    sr = run(values["lq"], values["residual"], 2, isa)
    expected = upscaled(values["lq"], values["residual"], 2)
    assert np.isnan(sr[np.isnan(expected)]).all()
    assert np.isfinite(sr[:, :3]).all()
    assert np.isfinite(sr[:, 14:]).all()


@per_isa
def test_threads_do_not_change_a_bit(isa):
    rng = np.random.default_rng(0)
    lq, residual = rng.random((3, 37, 23), np.float32), rng.random((12, 37, 23), np.float32)
    runs = [run(lq, residual, 2, isa, threads=threads).tobytes() for threads in (1, 2, 5)]
    assert runs[0] == runs[1] == runs[2]
