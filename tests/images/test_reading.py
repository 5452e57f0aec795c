"""Every kind of file becomes the picture it holds, and every bad one is named for what it is."""

from __future__ import annotations

import os
import struct
from io import BytesIO

import numpy as np
import pytest
import tifffile
from image_files import (
    claiming_png,
    grey_profile,
    noise,
    png_chunk,
    png_of_sixteen_bits,
    save,
    srgb_profile,
)
from PIL import Image, ImageOps
from PIL.ExifTags import IFD, Base

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.files import DataError
from smsr_plugin.images.reading import read_picture
from smsr_plugin.images.rgb import read_rgb

SIXTEEN = np.uint16


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a.ppm"])
def test_rgb(tmp_path, name):
    pixels = noise(5, 7, 3)
    options = {"lossless": True} if name.endswith("webp") else {}
    picture = read_picture(save(tmp_path / name, pixels, **options))
    assert (picture.colour == pixels).all()
    assert picture.colour.dtype == np.uint8
    assert picture.size == (7, 5)
    assert (picture.alpha, picture.icc_profile, picture.exif, picture.notes) == (None, None, {}, ())


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_grey_stays_grey(tmp_path, name):
    pixels = np.full((5, 7), 77, np.uint8) if name.endswith("jpg") else noise(5, 7)
    picture = read_picture(save(tmp_path / name, pixels))
    assert picture.is_grey
    assert (picture.colour[..., 0] == pixels).all()


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_alpha(tmp_path, name, channels):
    pixels = noise(5, 7, channels)
    picture = read_picture(save(tmp_path / name, pixels))
    assert (picture.colour == pixels[..., :-1]).all()
    assert (picture.alpha == pixels[..., -1]).all()


def test_one_bit_becomes_grey(tmp_path):
    bits = noise(5, 7) > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png").colour[..., 0] == bits * np.uint8(255)).all()


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_becomes_rgb_and_says_so(tmp_path, name, transparent):
    colours = noise(4, 3)
    indices = noise(5, 7) % 4
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(colours.tobytes())
    image.save(tmp_path / name, **({"transparency": 2} if transparent else {}))
    picture = read_picture(tmp_path / name)
    visible = indices != 2 if transparent else np.ones((5, 7), bool)
    assert (picture.colour[visible] == colours[indices][visible]).all()
    assert picture.notes == ("palette, becomes RGB",)
    if transparent:
        assert picture.alpha is not None
        assert (picture.alpha == visible * 255).all()
    else:
        assert picture.alpha is None


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_in_a_png(tmp_path, channels):
    pixels = noise(5, 7, channels, dtype=SIXTEEN)
    (tmp_path / "a.png").write_bytes(png_of_sixteen_bits(pixels))
    picture = read_picture(tmp_path / "a.png")
    assert picture.dtype == SIXTEEN
    if channels in (2, 4):
        assert (picture.colour == pixels[..., :-1]).all()
        assert (picture.alpha == pixels[..., -1]).all()
    else:
        assert (picture.colour == pixels).all()
        assert picture.alpha is None


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_of_sixteen_bits(tmp_path, channels):
    pixels = noise(5, 7, channels, dtype=SIXTEEN)
    key = png_chunk(b"tRNS", pixels[2, 3].astype(">u2").tobytes())
    (tmp_path / "a.png").write_bytes(png_of_sixteen_bits(pixels, key))
    picture = read_picture(tmp_path / "a.png")
    assert (picture.colour == pixels).all()
    assert picture.alpha is not None
    expected = np.full((5, 7), 65535)
    expected[2, 3] = 0
    assert (picture.alpha == expected).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("orientation", [None, 1, 2, 5, 8])
def test_sixteen_bits_in_a_tiff(tmp_path, channels, orientation):
    pixels = noise(5, 7, channels, dtype=SIXTEEN)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels[..., 0] if channels == 1 else pixels,
        photometric="minisblack" if channels == 1 else "rgb",
        compression="zlib",
        extrasamples=["unassalpha"] if channels == 4 else None,
        extratags=[(Base.Orientation, "H", 1, orientation, True)] if orientation else (),
    )
    turned = {2: pixels[:, ::-1], 5: pixels.swapaxes(0, 1), 8: np.rot90(pixels)}
    expected = turned.get(orientation or 1, pixels)
    picture = read_picture(tmp_path / "a.tif")
    assert (picture.colour == expected[..., :3]).all()
    assert (picture.alpha is None) == (channels != 4)
    if channels == 4:
        assert (picture.alpha == expected[..., 3]).all()


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_orientation_is_applied_as_pillow_does(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    # Pillow itself gets an uncompressed TIFF wrong that it opens by its path.
    with Image.open(save(tmp_path / "oracle.png", noise(5, 7, 4), exif=exif)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    path = save(tmp_path / name, noise(5, 7, 4), exif=exif, **options)
    picture = read_picture(path)
    assert picture.alpha is not None
    assert (np.dstack((picture.colour, picture.alpha)) == expected).all()
    assert Base.Orientation not in picture.exif


def test_exif_that_describes_the_picture_is_kept(tmp_path):
    exif = Image.Exif()
    exif[Base.Make], exif[Base.XResolution], exif[Base.Orientation] = "Maker", 300, 6
    details = {Base.ExifImageWidth: 7, Base.DateTimeOriginal: "2020:01:01 00:00:00"}
    exif[IFD.Exif] = {**details, IFD.Interop: {1: "R98"}}
    exif[IFD.GPSInfo] = {1: "N"}
    picture = read_picture(save(tmp_path / "a.jpg", noise(5, 7, 3), exif=exif))
    assert picture.exif == {
        Base.Make: "Maker",
        IFD.Exif: details,
        IFD.GPSInfo: {1: "N"},
    }


def test_damaged_exif_is_dropped_with_a_note(tmp_path):
    for name in ("a.jpg", "a.png", "a.webp"):
        path = save(tmp_path / name, noise(5, 7, 3), exif=b"Exif\0\0no directory")
        picture = read_picture(path)
        assert picture.exif == {}
        assert picture.size == (7, 5)
        if name != "a.jpg":  # there Pillow keeps it to itself
            assert picture.notes == ("its EXIF data are damaged and were dropped",)


def test_what_damaged_exif_still_holds_is_kept(tmp_path):
    # A directory Exif that lies outside the data, and a tag that does not.
    entries = struct.pack("<HHII", IFD.Exif, 4, 1, 0xFFFFFF) + struct.pack(
        "<HHI4s", Base.Artist, 2, 3, b"Me\0\0"
    )
    data = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    picture = read_picture(save(tmp_path / "a.jpg", noise(5, 7, 3), exif=data))
    assert picture.exif == {Base.Artist: "Me"}


def test_a_fitting_profile_is_kept_and_another_is_not(tmp_path):
    for name, pixels, profile in (
        ("rgb.png", noise(5, 7, 3), srgb_profile()),
        ("rgb.jpg", noise(5, 7, 3), srgb_profile()),
        ("grey.png", noise(5, 7), grey_profile()),
    ):
        picture = read_picture(save(tmp_path / name, pixels, icc_profile=profile))
        assert picture.icc_profile == profile
        assert picture.notes == ()
    picture = read_picture(save(tmp_path / "a.tif", noise(5, 7), icc_profile=srgb_profile()))
    assert picture.icc_profile is None
    assert picture.notes == ("its colour profile does not fit and was dropped",)


def test_cmyk_becomes_srgb_and_says_so(tmp_path):
    Image.new("CMYK", (7, 5), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.colour[0, 0].astype(int) == pytest.approx((255, 0, 0), abs=2)
    assert picture.notes == ("CMYK, converted to sRGB",)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_of_an_animation_the_first_frame(tmp_path, name):
    frames = [Image.new("RGB", (7, 5), (shade, 0, 0)) for shade in (255, 128, 0)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    picture = read_picture(tmp_path / name)
    assert picture.colour[0, 0].astype(int) == pytest.approx((255, 0, 0), abs=2)
    assert picture.notes[-1] == "only the first of several frames or pages"


def content_of(kind: str) -> bytes:
    stream = BytesIO()
    Image.fromarray(noise(40, 50, 3)).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_what_was_cut_short_is_refused(tmp_path, kind, share):
    content = content_of(kind)
    (tmp_path / "a").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match=r"cut short|truncated|damaged|could not|Truncated|cannot"):
        read_picture(tmp_path / "a")


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_without_its_last_bytes_or_with_a_flipped_one_is_refused(tmp_path, bits):
    content = content_of("PNG")
    if bits == 16:
        content = png_of_sixteen_bits(noise(40, 50, 3, dtype=SIXTEEN))
    (tmp_path / "a.png").write_bytes(content[:-1])
    with pytest.raises(ImageError, match=r"^the PNG is cut short$"):
        read_picture(tmp_path / "a.png")
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(flipped)
    with pytest.raises(ImageError, match=r"^the PNG is damaged"):
        read_picture(tmp_path / "a.png")


def test_a_truncated_tiff_of_sixteen_bits_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(40, 50, 3, dtype=SIXTEEN), photometric="rgb")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError):
        read_picture(tmp_path / "a.tif")


def test_files_that_are_no_images_are_named_for_what_they_are(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "gs").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    for name, message in (
        ("none", "^does not exist$"),
        ("", "^is not a file$"),
        ("empty", "^the file is empty$"),
        ("text", "^is damaged or not an image of a known kind"),
        ("gs", "^is damaged or not an image of a known kind"),
    ):
        with pytest.raises(ImageError, match=message):
            read_picture(tmp_path / name)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("F", r"^floating-point values \(32-bit TIFF\) are not supported"),
        ("I", r"^signed values \(32-bit TIFF\) are not supported"),
        ("PA", "^8-bit TIFF of kind PALETTE with 2 channels, compressed by NONE, .* it to RGB$"),
        ("LAB", "^TIFF colours of kind CIELAB are not supported$"),
    ],
)
def test_other_pixels_are_refused_by_name(tmp_path, mode, message):
    Image.new(mode, (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=message):
        read_picture(tmp_path / "a.tif")


def test_the_limit_on_pixels_holds_before_anything_is_decoded(tmp_path):
    (tmp_path / "bomb.png").write_bytes(claiming_png(60000, 60000))
    with pytest.raises(
        ImageError, match=r"^has 3,600,000,000 pixels, above the limit of 89,478,485"
    ):
        read_picture(tmp_path / "bomb.png")
    path = save(tmp_path / "a.png", noise(5, 7, 3))
    default = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError, match=r"^has 35 pixels, above the limit of 34;"):
        read_picture(path, max_pixels=34)
    assert read_picture(path, max_pixels=35).size == (7, 5)
    assert default == Image.MAX_IMAGE_PIXELS


def test_a_file_that_would_fill_the_memory_is_not_read(tmp_path):
    for name, start, message in (
        ("a.webp", b"RIFF", r"needs more memory than there is: the file has 1,099,511,627,776 byt"),
        ("a.tif", b"II*\0", r"needs more memory than there is: the file has 1,099,511,627,776 byt"),
        ("a.png", b"text", r"is damaged or not an image of a known kind"),
    ):
        (tmp_path / name).write_bytes(start)
        os.truncate(tmp_path / name, 1 << 40)  # it takes no room on the disk
        with pytest.raises(ImageError, match=f"^{message}"):
            read_picture(tmp_path / name)
        with pytest.raises(DataError, match=f"{name}: {message}"):
            read_rgb(tmp_path / name)
