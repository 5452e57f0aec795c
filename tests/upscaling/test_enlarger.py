"""Pictures of every kind, enlarged by a network that is known to be bicubic interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import noise, smooth
from networks import tiny_smsr, upscaling_network
from PIL import Image

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.picture import Picture
from smsr_plugin.upscaling import network as network_module
from smsr_plugin.upscaling.enlarger import Enlarger
from smsr_plugin.upscaling.network import SHARE, Network, result_bytes


def bicubic_network(upscale: int = 2, residual: float = 0) -> Network:
    """Return a network whose residual is the same everywhere."""
    net = tiny_smsr(upscale=upscale).float()
    with torch.no_grad():
        net.tail[0].weight.zero_()
        net.tail[0].bias.fill_(residual)
    return upscaling_network(net)


def bicubic(pixels: np.ndarray, scale: int, shift: float = 0) -> np.ndarray:
    """Return (H, W, C) enlarged, plus a number, in float64, clamped to the range of its dtype."""
    x = torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)[None]
    sr = F.interpolate(x, scale_factor=scale, mode="bicubic")[0].permute(1, 2, 0).numpy()
    return np.clip(sr + shift, 0, np.iinfo(pixels.dtype).max)


def close(pixels: np.ndarray, expected: np.ndarray) -> bool:
    """Tell whether pixels are the rounded values, give or take the precision of float32."""
    return np.abs(pixels - expected).max() <= 0.5 + np.iinfo(pixels.dtype).max * 1e-6


@settings(max_examples=25)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    channels=st.sampled_from([1, 3]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    scale=st.sampled_from([2, 3, 4]),
)
def test_every_kind_keeps_its_channels_and_dtype(size, channels, dtype, scale):
    picture = Picture(noise(*size, channels, dtype=dtype), exif={271: "Maker"}, notes=("a",))
    result = Enlarger(bicubic_network(scale))(picture)
    assert result.picture.colour.dtype == dtype
    assert result.picture.colour.shape == (size[0] * scale, size[1] * scale, channels)
    assert close(result.picture.colour, bicubic(picture.colour, scale))
    assert result.picture.alpha is None
    assert (result.picture.exif, result.picture.notes) == (picture.exif, picture.notes)
    assert result.run.spa_mask.shape == (2, *size)
    assert (result.lq == np.rint(picture.colour / (np.iinfo(dtype).max / 255))).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opacity_goes_through_the_network_and_flat_areas_stay(dtype):
    network = bicubic_network(residual=-0.01)
    full = np.iinfo(dtype).max
    alpha = np.zeros((12, 14), dtype)
    alpha[:, 6] = full // 3
    alpha[:, 7:] = full
    result = Enlarger(network)(Picture(noise(12, 14, 3, dtype=dtype), alpha))
    got = result.picture.alpha
    assert got is not None
    assert got.dtype == dtype
    assert (got[:, :10] == 0).all()
    assert (got[:, 16:] == full).all()
    expected = bicubic(alpha[..., None], 2, -0.01 * full)
    assert close(got[:, 10:16], expected[:, 10:16, 0])


@pytest.mark.parametrize("opacity", [0, 100, 255])
def test_the_same_opacity_everywhere_stays_exactly_that(opacity):
    network = bicubic_network()
    picture = Picture(noise(5, 6, 1), np.full((5, 6), opacity, np.uint8))
    result = Enlarger(network, outscale=2.7)(picture)
    assert result.picture.alpha is not None
    assert result.picture.alpha.shape == result.picture.colour.shape[:2] == (14, 16)
    assert (result.picture.alpha == opacity).all()


def test_hidden_colours_do_not_bleed():
    alpha = np.full((16, 16), 255, np.uint8)
    alpha[:, :8] = 0
    colour = np.full((16, 16, 3), 200, np.uint8)
    for hidden in (0, 255):
        colour[:, :8] = hidden
        result = Enlarger(bicubic_network())(Picture(colour, alpha))
        assert (result.picture.colour == 200).all()


@settings(max_examples=20)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    outscale=st.floats(0.05, 6),
    channels=st.sampled_from([1, 2, 3, 4]),
)
def test_any_factor_gives_the_rounded_size(size, outscale, channels):
    pixels = noise(*size, channels)
    alpha = pixels[..., -1] if channels in (2, 4) else None
    colour = pixels if alpha is None else pixels[..., :-1]
    upscaler = Enlarger(bicubic_network(), outscale)
    result = upscaler(Picture(colour, alpha)).picture
    expected = tuple(max(1, round(side * outscale)) for side in size)
    assert result.colour.shape == (*expected, colour.shape[2])
    assert upscaler.size_of(size[1], size[0]) == result.size == expected[::-1]
    assert (result.alpha is None) == (alpha is None)
    if result.alpha is not None:
        assert result.alpha.shape == expected


@pytest.mark.parametrize("outscale", [0.5, 1, 1.37, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_factors_are_lanczos_after_the_network(outscale, dtype):
    picture = Picture(np.rint(smooth(20, 30) * np.iinfo(dtype).max).astype(dtype))
    got = Enlarger(bicubic_network(), outscale)(picture).picture.colour
    native = np.rint(bicubic(picture.colour, 2) / (np.iinfo(dtype).max / 255)).astype(np.uint8)
    resized = Image.fromarray(native).resize(got.shape[1::-1], Image.Resampling.LANCZOS)
    assert np.abs(got / (np.iinfo(dtype).max / 255) - np.asarray(resized)).max() <= 1.6
    if dtype == np.uint16:
        assert len(np.unique(got)) > 256  # no rounding to 8 bits on the way


def test_a_result_that_is_not_resized_counts_once(monkeypatch):
    available = int(result_bytes(200 * 200) / SHARE) + 1
    monkeypatch.setattr(network_module, "available_bytes", lambda: available)
    picture = Picture(noise(100, 100, 3))
    assert Enlarger(bicubic_network())(picture).picture.size == (200, 200)
    with pytest.raises(ImageError, match=r"the result, 190×190, takes .* GiB of memory"):
        Enlarger(bicubic_network(), outscale=1.9)(picture)


def test_a_result_that_does_not_fit_into_memory_is_an_error(monkeypatch):
    monkeypatch.setattr(network_module, "available_bytes", lambda: 1 << 20)
    with pytest.raises(ImageError, match=r"the result, 100000×100000, takes .* GiB of memory"):
        Enlarger(bicubic_network(), outscale=1000)(Picture(noise(100, 100, 3)))
