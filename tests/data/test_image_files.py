"""Images are taken only when they are whole and of the kind that training can use."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smsr_plugin.data.image_files import (
    DataError,
    check_complete,
    decode,
    encode_png,
    list_images,
    png_shape,
    read_header,
)

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
    np.testing.assert_array_equal(decode(content, "x"), PIXELS)
    header = read_header(BytesIO(content), "x")
    assert (header.height, header.width, header.grey) == (9, 14, False)


def test_own_png_round_trip_keeps_shape_and_pixels():
    content = encode_png(PIXELS[::2, 1:])  # a view that is not contiguous
    np.testing.assert_array_equal(decode(content, "x"), PIXELS[::2, 1:])
    assert png_shape(content, content) == (5, 13, 3)


def test_grey_becomes_three_equal_channels():
    content = encoded(Image.fromarray(PIXELS[..., 0]))
    assert read_header(BytesIO(content), "x").grey
    np.testing.assert_array_equal(decode(content, "x"), PIXELS[..., :1].repeat(3, axis=2))


def test_palette_becomes_rgb():
    image = Image.fromarray(PIXELS).quantize(16)
    np.testing.assert_array_equal(decode(encoded(image), "x"), np.array(image.convert("RGB")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"not an image", "cannot be read as an image"),
        (encoded(Image.new("RGBA", (4, 4))), "one with transparency"),
        (encoded(Image.new("LA", (4, 4))), "one with transparency"),
        (encoded(Image.new("RGB", (4, 4)), transparency=(0, 0, 0)), "one with transparency"),
        (encoded(Image.new("CMYK", (4, 4)), "JPEG"), "mode 'CMYK'"),
        (png_16_bit(3), "16 bits per value"),
        (png_16_bit(1), "16 bits per value"),
    ],
)
def test_unusable_images_are_named(content, message):
    with pytest.raises(DataError, match=f"^photo.png: .*{message}"):
        decode(content, "photo.png")
    with pytest.raises(DataError, match=f"^photo.png: .*{message}"):
        read_header(BytesIO(content), "photo.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_cut_files_are_not_decoded(form, kept):
    content = encoded(Image.fromarray(PIXELS.repeat(9, axis=0)), form)
    with pytest.raises(DataError, match=r"^photo: "):
        decode(content[: int(len(content) * kept)], "photo")


@pytest.mark.parametrize("missing", range(1, 13))
def test_a_png_without_its_last_bytes_is_cut_short(missing):
    # Pillow itself decodes these.
    content = encode_png(PIXELS)[:-missing]
    for check in (check_complete, decode):
        with pytest.raises(DataError, match="photo: the PNG is cut short"):
            check(content, "photo")


def test_every_damaged_byte_of_the_pixels_is_found():
    content = encode_png(PIXELS)
    start = content.index(b"IDAT")
    for position in range(start, content.index(b"IEND") - 4):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        with pytest.raises(DataError, match="photo: the PNG is "):
            check_complete(bytes(damaged), "photo")


def test_damaged_comments_and_bytes_after_the_end_are_no_fault():
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "harmless")
    content = bytearray(encoded(Image.fromarray(PIXELS), pnginfo=info))
    content[content.index(b"harmless")] ^= 1
    check_complete(bytes(content) + b"tail", "photo")


def test_a_cut_jpeg_is_found_and_one_with_a_tail_is_not():
    content = encoded(Image.fromarray(PIXELS.repeat(9, axis=0)), "JPEG")
    check_complete(content, "photo")
    check_complete(content + bytes(16), "photo")
    with pytest.raises(DataError, match="photo: cannot be decoded"):
        check_complete(content[:-20], "photo")


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
def test_png_shape_knows_only_whole_8_bit_pngs(content):
    assert png_shape(content, content) is None


def test_only_image_files_are_listed_in_order(tmp_path, make_images):
    make_images(tmp_path, {"b.PNG": (4, 4), "a.jpg": (4, 4)})
    for name in ("notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]


@pytest.mark.parametrize(("name", "message"), [("", "holds no images"), ("no", "is not a folder")])
def test_missing_and_empty_folders_are_named(tmp_path: Path, name, message):
    with pytest.raises(DataError, match=message):
        list_images(tmp_path / name)
