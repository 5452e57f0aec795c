"""8-bit RGB: the images that networks are trained and compared on.

They have 8 bits and no transparency; grey ones and palettes become RGB when decoded. An orientation
stored in the file (EXIF) is applied, as everywhere. Errors name the image.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from smsr_plugin.images import reading
from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.files import DataError
from smsr_plugin.images.picture import CMYK, Header, Picture
from smsr_plugin.images.pixels import Rgb
from smsr_plugin.staging import open_regular

#: Fast, and what BasicSR's own LMDBs use.
PNG_COMPRESS_LEVEL = 1


def read_rgb(path: Path) -> Rgb:
    """Read an image file: (H, W, 3) RGB, 0…255, upright.

    Raises:
        DataError: As `decode_rgb`.
        OSError: If it cannot be read, or is a pipe or a device.
    """
    with open_regular(path) as file, _named(str(path)):
        content = reading.content_of(file)
    return decode_rgb(content, str(path))


def decode_rgb(content: bytes, name: str) -> Rgb:
    """Decode an image to (H, W, 3) RGB, 0…255, upright.

    Raises:
        DataError: If the bytes are empty, cut short, damaged, or not an 8-bit grey or RGB image of
            at most `reading.MAX_PIXELS`.
    """
    return decode_with_header(content, name)[0]


def decode_with_header(content: bytes, name: str) -> tuple[Rgb, Header]:
    """Decode an image as `decode_rgb` does, and return what it says of itself as well."""
    found = read_header(BytesIO(content), name)
    with _named(name):
        return rgb_of(reading.decode(content)), found


def read_header(file: Path | BinaryIO, name: str) -> Header:
    """Read an image's size and kind without decoding it.

    Args:
        file: The image file, or its content.
        name: How to call the image in errors.

    Raises:
        DataError: If it is not an image, not an 8-bit one, has transparency, or more pixels than
            `reading.MAX_PIXELS`.
        OSError: If the file cannot be read.
    """
    if isinstance(file, Path):
        with open_regular(file) as stream:
            return read_header(stream, name)
    with _named(name):
        found = reading.read_header(file)
    if fault := _fault(found):
        raise DataError(f"{name}: expected an 8-bit grey or RGB image, got {fault}; convert it")
    return found


def rgb_of(picture: Picture) -> Rgb:
    """Return the colours of an 8-bit picture as RGB, (H, W, 3), contiguous, to be written to."""
    colour = picture.colour.astype(np.uint8, copy=False)
    if picture.is_grey:
        return colour.repeat(3, 2)
    return np.require(colour, requirements=["C", "W"])


def encode_png(image: Rgb) -> bytes:
    """Encode (H, W, 3) RGB, 0…255, as PNG."""
    stream = BytesIO()
    # On photographs, run lengths alone are faster both ways than zlib's search, and smaller.
    Image.fromarray(image).save(
        stream, "PNG", compress_level=PNG_COMPRESS_LEVEL, compress_type=zlib.Z_RLE
    )
    return stream.getvalue()


def _fault(found: Header) -> str | None:
    if found.transparency:
        return "one with transparency"
    if found.bits > 8:
        return f"{found.bits} bits per value"
    return "CMYK" if found.colour == CMYK else None


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except ImageError as error:
        raise DataError(f"{name}: {error}") from error
