"""What is written is what other libraries read, and the notes say what a format cannot hold."""

from __future__ import annotations

import re
from io import BytesIO

import cv2
import numpy as np
import pytest
import tifffile
from image_files import grey_profile, noise, smooth, srgb_profile
from PIL import Image
from PIL.ExifTags import IFD, Base

from smsr_plugin.images import writing
from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.picture import Picture
from smsr_plugin.images.reading import read_picture
from smsr_plugin.images.writing import FORMATS, check_size, write_picture

EXIF = {
    Base.Make: "Märker".encode().decode("latin-1"),  # as Pillow reads UTF-8
    IFD.Exif: {Base.ExifImageWidth: 1, Base.DateTimeOriginal: "2020:01:01 00:00:00"},
}


def picture_of(channels: int, dtype: type = np.uint8, **fields) -> Picture:
    pixels = noise(5, 7, channels, dtype=dtype)
    if channels in (1, 3):
        return Picture(pixels, **fields)
    return Picture(pixels[..., :-1], pixels[..., -1], **fields)


def with_alpha(picture: Picture) -> np.ndarray:
    if picture.alpha is None:
        return picture.colour
    return np.dstack((picture.colour, picture.alpha))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.tif"])
def test_eight_bits_without_loss(tmp_path, name, channels):
    picture = picture_of(channels)
    written = write_picture(picture, tmp_path / name)
    with Image.open(tmp_path / name) as image:
        pixels = np.asarray(image)
        assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    assert (pixels.reshape(5, 7, channels) == with_alpha(picture)).all()
    assert written.notes == ()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_in_a_png(tmp_path, channels):
    picture = picture_of(channels, np.uint16)
    write_picture(picture, tmp_path / "a.png")
    pixels = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert (pixels.reshape(5, 7, channels)[..., order] == with_alpha(picture)).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_in_a_tiff(tmp_path, channels):
    picture = picture_of(channels, np.uint16)
    written = write_picture(picture, tmp_path / "a.tif")
    pixels = tifffile.imread(tmp_path / "a.tif")
    assert pixels.dtype == np.uint16
    assert (pixels.reshape(5, 7, channels) == with_alpha(picture)).all()
    assert written.notes == ()


def test_sixteen_bits_of_grey_with_alpha_become_rgb_in_a_png(tmp_path):
    picture = picture_of(2, np.uint16, icc_profile=grey_profile())
    written = write_picture(picture, tmp_path / "a.png")
    pixels = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert (pixels[..., :3] == picture.colour).all()
    assert (pixels[..., 3] == picture.alpha).all()
    assert written.notes == (
        "grey is written as RGB in this PNG",
        "its colour profile does not fit and was dropped",
    )


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_profile_and_exif_are_kept(tmp_path, name, dtype):
    picture = picture_of(3, dtype, icc_profile=srgb_profile(), exif=EXIF)
    write_picture(picture, tmp_path / name)
    assert read_picture(tmp_path / name).icc_profile == srgb_profile()  # checksums
    with Image.open(tmp_path / name) as image:
        image.load()
        assert image.info["icc_profile"] == srgb_profile()
        exif = image.getexif()
        assert exif[Base.Make] == EXIF[Base.Make]
        assert Base.Orientation not in exif
        if name.endswith("png"):  # without the six bytes that precede it elsewhere
            assert re.search(rb"eXIf(II\*\0|MM\0\*)", (tmp_path / name).read_bytes())
        if not name.endswith("tif"):
            details = exif.get_ifd(IFD.Exif)
            assert details[Base.DateTimeOriginal] == "2020:01:01 00:00:00"
            assert details[Base.ExifImageWidth] == 7


def test_tiff_says_that_it_keeps_the_description_only(tmp_path):
    written = write_picture(picture_of(3, exif=EXIF), tmp_path / "a.tif")
    assert written.notes == ("of EXIF, TIFF keeps the description only",)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_quality_and_colours_of_lossy_formats(tmp_path, name):
    colour = np.rint(smooth(40, 50) * 255).astype(np.uint8)
    sizes = []
    for quality in (100, 50):
        write_picture(Picture(colour), tmp_path / name, quality)
        sizes.append((tmp_path / name).stat().st_size)
        with Image.open(tmp_path / name) as image:
            difference = np.abs(np.asarray(image).astype(int) - colour)
            assert difference.mean() < {100: 2, 50: 4}[quality]
    assert sizes[0] > sizes[1]


def test_what_jpeg_cannot_hold(tmp_path):
    colour = np.full((8, 8, 3), 51 * 257, np.uint16)
    alpha = np.full((8, 8), 0x8000, np.uint16)
    alpha[:4] = 0
    written = write_picture(Picture(colour, alpha), tmp_path / "a.jpg", 100)
    assert written.notes == (
        "16 bits became 8, all that JPEG has",
        "blended with white, as JPEG is opaque",
    )
    with Image.open(tmp_path / "a.jpg") as image:
        pixels = np.asarray(image).astype(int)
    assert pixels[0, 0] == pytest.approx(255, abs=1)
    assert pixels[7, 7] == pytest.approx(255 * 127 / 255 + 51 * 128 / 255, abs=1)


def test_what_webp_cannot_hold(tmp_path):
    picture = picture_of(2, np.uint16, icc_profile=grey_profile())
    written = write_picture(picture, tmp_path / "a.webp")
    assert written.notes == (
        "16 bits became 8, all that WEBP has",
        "grey is written as RGB in this WEBP",
        "its colour profile does not fit and was dropped",
    )
    with Image.open(tmp_path / "a.webp") as image:
        assert image.mode == "RGBA"
        eight = np.rint(np.asarray(picture.alpha) / 257)
        assert (np.asarray(image)[..., 3] == eight).all()


def test_exif_that_is_too_long_for_jpeg_is_dropped(tmp_path):
    picture = picture_of(3, exif={IFD.Exif: {Base.MakerNote: bytes(70000)}})
    written = write_picture(picture, tmp_path / "a.jpg")
    assert written.notes == ("its EXIF data are too long for JPEG and were dropped",)
    assert write_picture(picture, tmp_path / "a.png").notes == ()


def test_sizes_that_a_format_cannot_hold():
    for name, side in (("a.webp", 16383), ("a.JPG", 65500)):
        path = writing.Path(name)
        check_size(path, side, 1)
        with pytest.raises(ImageError, match=rf"would be 1×{side + 1}, and .* sides up to {side}"):
            check_size(path, 1, side + 1)
    with pytest.raises(ImageError, match="would be 16384×1"):
        write_picture(Picture(np.zeros((1, 16384, 3), np.uint8)), writing.Path("never.webp"))


def test_every_suffix_names_its_format(tmp_path):
    for suffix, kind in FORMATS.items():
        write_picture(picture_of(3), tmp_path / f"a{suffix}")
        with Image.open(tmp_path / f"a{suffix}") as image:
            assert image.format == kind


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "needs more memory than there is"),
        (cv2.error("no room\nfor it"), "cannot be encoded: no room"),
    ],
)
def test_what_encoders_raise_is_one_line(tmp_path, monkeypatch, error, message):
    def fail(*_):
        raise error

    monkeypatch.setitem(writing._ENCODERS, "PNG", fail)
    with pytest.raises(ImageError, match=f"^{message}$"):
        write_picture(picture_of(3), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_stays_whole_if_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"precious")

    def full_disk(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.Path, "replace", full_disk)
    with pytest.raises(ImageError, match=r"^cannot be written to .*a\.png: No space left"):
        write_picture(picture_of(3), path)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "outside.png").write_bytes(b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(tmp_path / "outside.png")
    write_picture(picture_of(3), tmp_path / "out" / "a.png")
    assert (tmp_path / "outside.png").read_bytes() == b"precious"
    assert not (tmp_path / "out" / "a.png").is_symlink()


def test_names_as_long_as_the_system_allows(tmp_path):
    path = tmp_path / "new" / ("a" * 251 + ".png")
    write_picture(picture_of(1), path)
    assert Image.open(BytesIO(path.read_bytes())).size == (7, 5)
