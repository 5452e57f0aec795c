"""Images are taken only when they are whole and of the kind that training can use."""

from __future__ import annotations

import os
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
from image_files import claiming_png, png_chunk
from PIL import Image

from smsr_plugin.data.lmdb_store import shape_of
from smsr_plugin.images import reading
from smsr_plugin.images.files import DataError
from smsr_plugin.images.picture import GREY, RGB
from smsr_plugin.images.reading import MAX_PIXELS
from smsr_plugin.images.rgb import decode_rgb, encode_png, read_header, read_rgb

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def png_16_bit(channels: int) -> bytes:
    # Pillow cannot write 16-bit RGB.
    import cv2

    values = np.random.default_rng(1).integers(0, 1 << 16, (9, 14, channels)).astype(np.uint16)
    return cv2.imencode(".png", values)[1].tobytes()


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_colour_is_decoded_as_it_is(form):
    content = encoded(Image.fromarray(PIXELS), form)
    np.testing.assert_array_equal(decode_rgb(content, "x"), PIXELS)
    header = read_header(BytesIO(content), "x")
    assert (header.height, header.width, header.colour) == (9, 14, RGB)


def test_own_png_round_trip_keeps_shape_and_pixels():
    content = encode_png(PIXELS[::2, 1:])  # a view that is not contiguous
    np.testing.assert_array_equal(decode_rgb(content, "x"), PIXELS[::2, 1:])
    assert shape_of(content, content) == (5, 13, 3)


def test_grey_becomes_three_equal_channels():
    content = encoded(Image.fromarray(PIXELS[..., 0]))
    assert read_header(BytesIO(content), "x").colour == GREY
    np.testing.assert_array_equal(decode_rgb(content, "x"), PIXELS[..., :1].repeat(3, axis=2))


def test_palette_becomes_rgb():
    image = Image.fromarray(PIXELS).quantize(16)
    np.testing.assert_array_equal(decode_rgb(encoded(image), "x"), np.array(image.convert("RGB")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"not an image", "is damaged or not an image of a known kind"),
        (encoded(Image.new("RGBA", (4, 4))), "one with transparency"),
        (encoded(Image.new("LA", (4, 4))), "one with transparency"),
        (encoded(Image.new("RGB", (4, 4)), transparency=(0, 0, 0)), "one with transparency"),
        (encoded(Image.new("CMYK", (4, 4)), "JPEG"), "got CMYK"),
        (png_16_bit(3), "16 bits per value"),
        (png_16_bit(1), "16 bits per value"),
    ],
)
def test_unusable_images_are_named(content, message):
    with pytest.raises(DataError, match=f"^photo.png: .*{message}"):
        decode_rgb(content, "photo.png")
    with pytest.raises(DataError, match=f"^photo.png: .*{message}"):
        read_header(BytesIO(content), "photo.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_cut_files_are_not_decoded(form, kept):
    content = encoded(Image.fromarray(PIXELS.repeat(9, axis=0)), form)
    with pytest.raises(DataError, match=r"^photo: "):
        decode_rgb(content[: int(len(content) * kept)], "photo")


@pytest.mark.parametrize("missing", range(1, 13))
def test_a_png_without_its_last_bytes_is_cut_short(missing):
    # Pillow itself decodes these.
    content = encode_png(PIXELS)[:-missing]
    with pytest.raises(DataError, match=r"^photo: the PNG is cut short"):
        decode_rgb(content, "photo")


def test_every_damaged_byte_of_the_pixels_is_found():
    content = encode_png(PIXELS)
    start = content.index(b"IDAT")
    for position in range(start, content.index(b"IEND") - 4):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        with pytest.raises(DataError, match="photo: the PNG is "):
            decode_rgb(bytes(damaged), "photo")


def test_damaged_comments_and_bytes_after_the_end_are_no_fault():
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "harmless")
    content = bytearray(encoded(Image.fromarray(PIXELS), pnginfo=info))
    content[content.index(b"harmless")] ^= 1
    decode_rgb(bytes(content) + b"tail", "photo")


def test_a_cut_jpeg_is_found_and_one_with_a_tail_is_not():
    content = encoded(Image.fromarray(PIXELS.repeat(9, axis=0)), "JPEG")
    decode_rgb(content, "photo")
    decode_rgb(content + bytes(16), "photo")
    with pytest.raises(DataError, match=r"^photo: is damaged or cannot be read: .*truncated"):
        decode_rgb(content[:-20], "photo")


@pytest.mark.parametrize(
    "content",
    [
        encode_png(PIXELS)[:-1],
        encode_png(PIXELS)[:20],
        b"",
        encoded(Image.new("RGBA", (4, 4))),
        png_16_bit(3),
        encoded(Image.fromarray(PIXELS), "BMP"),
    ],
)
def test_shape_of_knows_only_whole_8_bit_pngs(content):
    assert shape_of(content, content) is None


def test_the_limit_on_pixels_holds_before_anything_is_decoded_and_can_be_raised(monkeypatch):
    bomb = claiming_png(100_000, 100_000)
    with pytest.raises(DataError, match="has 10,000,000,000 pixels, above the limit of 89,478,485"):
        decode_rgb(bomb, "x")
    monkeypatch.setenv(MAX_PIXELS, str(10**10))
    assert read_header(BytesIO(bomb), "x").width == 100_000
    content, default = encode_png(PIXELS), Image.MAX_IMAGE_PIXELS
    monkeypatch.setenv(MAX_PIXELS, str(9 * 14 - 1))
    with pytest.raises(DataError, match=r"above the limit of 125; .*raise SMSR_MAX_PIXELS"):
        decode_rgb(content, "x")
    monkeypatch.setenv(MAX_PIXELS, str(9 * 14))
    assert decode_rgb(content, "x").shape == (9, 14, 3)
    assert default == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("text", ["many", "0", "-5", "1e9", "9" * 30])
def test_a_limit_that_is_no_number_is_an_error(monkeypatch, text):
    monkeypatch.setenv(MAX_PIXELS, text)
    with pytest.raises(DataError, match="SMSR_MAX_PIXELS must be a whole number above 0, got"):
        decode_rgb(encode_png(PIXELS), "x")


@pytest.mark.parametrize("form", ["EPS", "ICO", "PCX", "TGA"])
def test_other_formats_are_not_opened_whatever_their_name(form, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(PIXELS).save(path, form)
    with pytest.raises(DataError, match="is damaged or not an image of a known kind"):
        read_rgb(path)


def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "device.png"):
        for read in (read_rgb, lambda path: read_header(path, "x")):
            with pytest.raises(OSError, match="a pipe, a socket or a device"):
                read(tmp_path / name)


def test_a_chunk_that_unpacks_to_gigabytes_is_not_unpacked():
    text = b"a\0\0" + zlib.compress(bytes(10**8))
    start, end = encode_png(PIXELS)[:33], encode_png(PIXELS)[33:]
    profile = b"a\0\0" + zlib.compress(bytes(10**8))
    chunks = png_chunk(b"zTXt", text) + png_chunk(b"iCCP", profile)
    tracemalloc.start()
    try:
        picture = reading.decode(start + chunks + end)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (picture.colour == PIXELS).all()
    assert (picture.chunks, picture.icc_profile) == ((), None)
    assert picture.notes == (
        "its colour profile is damaged or too long and was dropped",
        "1 of its texts is damaged or longer than 1 MiB and was dropped",
    )
    assert peak < 64 << 20
