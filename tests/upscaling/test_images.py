"""Other people's images: what comes back is of the kind that went in, with the command's pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_files import noise, smooth
from PIL import Image

import smsr_plugin
from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.picture import Picture
from smsr_plugin.images.reading import read_picture
from smsr_plugin.upscaling.enlarger import Enlarger
from smsr_plugin.upscaling.loading import load_network

pytest.importorskip("smsr_plugin._kernels")


@pytest.fixture(scope="module")
def upscaler() -> smsr_plugin.Upscaler:
    return smsr_plugin.Upscaler(scale=2)


@pytest.fixture(scope="module")
def enlarger() -> Enlarger:
    """What the command uses."""
    return Enlarger(load_network(scale=2))


def expected(enlarger: Enlarger, pixels: np.ndarray) -> np.ndarray:
    """Return what becomes of pixels (H, W, C) in a file."""
    channels = pixels.shape[2]
    colour = pixels[..., : channels - (channels in (2, 4))]
    alpha = pixels[..., -1] if channels in (2, 4) else None
    larger = enlarger(Picture(colour, alpha)).picture
    return larger.colour if larger.alpha is None else np.dstack((larger.colour, larger.alpha))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_array_of_whole_numbers_gives_the_pixels_of_a_file(upscaler, enlarger, dtype, channels):
    pixels = noise(6, 9, channels, dtype=dtype)
    larger = upscaler(pixels)
    assert (larger.dtype, larger.shape) == (dtype, (12, 18, channels))
    assert (larger == expected(enlarger, pixels)).all()
    if channels == 1:
        flat = upscaler(pixels[..., 0])
        assert flat.shape == (12, 18)
        assert (flat == larger[..., 0]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_floats_are_the_same_image_without_rounding(upscaler, enlarger, dtype, channels):
    pixels = noise(6, 9, channels)
    larger = upscaler((pixels / 255).astype(dtype))
    assert (larger.dtype, larger.shape) == (dtype, (12, 18, channels))
    assert larger.min() >= 0
    assert larger.max() <= 1
    assert np.abs(larger * 255 - expected(enlarger, pixels)).max() <= 0.501


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_an_image_of_pillow_is_what_its_file_is(upscaler, enlarger, tmp_path, mode):
    if mode == "I;16":
        image = Image.fromarray(noise(6, 9, dtype=np.uint16))
    else:
        channels = 4 if mode in ("LA", "RGBA") else 3
        image = Image.fromarray((255 * smooth(6, 9, channels)).astype(np.uint8)).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    of_file = enlarger(read_picture(path)).picture
    larger = upscaler(image)
    assert larger.size == (18, 12)
    assert larger.mode == {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)
    pixels = np.asarray(larger).reshape(12, 18, -1)
    colour = of_file.colour if of_file.alpha is None else np.dstack((of_file.colour, of_file.alpha))
    assert (pixels == colour).all()


def test_an_image_of_pillow_is_turned_upright_and_keeps_profile_and_camera(upscaler):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    image = Image.fromarray(noise(4, 8, 3))
    image.info.update(exif=exif.tobytes(), icc_profile=b"\0" * 16 + b"RGB " + b"\0" * 108)
    larger = upscaler(image)
    assert larger.size == (8, 16)
    turned = upscaler(Image.fromarray(np.ascontiguousarray(np.rot90(np.asarray(image), -1))))
    assert (np.asarray(larger) == np.asarray(turned)).all()
    assert larger.info["icc_profile"] == image.info["icc_profile"]
    assert dict(larger.getexif()) == {0x010F: "Maker"}


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_gives_a_path(enlarger, tmp_path, kind):
    Image.fromarray(noise(6, 9, 3)).save(tmp_path / "a.png")
    result = smsr_plugin.upscale(kind(tmp_path / "a.png"), scale=2, out=tmp_path / "b.png")
    assert result == kind(tmp_path / "b.png")
    assert isinstance(result, kind)
    larger = enlarger(read_picture(tmp_path / "a.png")).picture.colour
    assert (np.asarray(Image.open(tmp_path / "b.png")) == larger).all()


def test_any_factor_and_density_may_be_asked_for():
    image = (255 * smooth(20, 30)).astype(np.uint8)
    assert smsr_plugin.upscale(image, outscale=2.5).shape == (50, 75, 3)
    dense, sparse = (smsr_plugin.upscale(image, density=d) for d in (1, 0))
    assert (dense != sparse).any()


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((4, 5, 3), np.int64), TypeError, "uint8, uint16, float32 or float64, got int64"),
        (np.zeros((4, 5, 5), np.uint8), ValueError, r"got \(4, 5, 5\)"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, r"got \(0, 5, 3\)"),
        (np.zeros(5, np.uint8), ValueError, r"got \(5,\)"),
        (np.full((4, 5, 3), 200.0), ValueError, "values in 0…1, got values up to 200"),
        (np.full((4, 5, 3), np.nan), ImageError, "got NaN"),
        (Image.new("F", (4, 5)), ImageError, "got mode 'F'"),
        ([[1]], TypeError, "got builtins.list"),
        ("a.png", ValueError, "out=PATH"),
    ],
)
def test_what_is_no_image_is_refused(upscaler, image, error, message):
    with pytest.raises(error, match=message):
        upscaler(image)


def test_out_is_for_paths_only(upscaler, tmp_path):
    with pytest.raises(ValueError, match="out is for an image that is a path"):
        upscaler(noise(4, 5, 3), out=tmp_path / "a.png")
    with pytest.raises(ValueError, match="outscale must be a number above 0, got -1"):
        smsr_plugin.Upscaler(outscale=-1)
