"""Image files and their bytes: finding, checking, decoding, encoding.

Images are 8-bit and have no transparency; grey ones and palettes become RGB when decoded. An
orientation stored in the file (EXIF) is not applied.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from smsr_plugin.staging import open_regular

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
#: What Pillow may take a file for, whatever its name. Others stay out: one starts Ghostscript.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
#: The environment variable that sets the most pixels an image may have.
MAX_PIXELS = "SMSR_MAX_PIXELS"
#: Without it: Pillow's own limit, 256 MiB of RGB.
DEFAULT_MAX_PIXELS = 1024 * 1024 * 1024 // 4 // 3
#: Fast, and what BasicSR's own LMDBs use.
PNG_COMPRESS_LEVEL = 1

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK_FRAME = 12  # length, type and CRC, 4 bytes each
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_GREY_MODES = ("1", "L")
_COLOUR_MODES = ("P", "RGB")


class DataError(ValueError):
    """Training or validation data that cannot be used; the message names it."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of its image: height and width in pixels, grey or colour."""

    height: int
    width: int
    grey: bool


def list_images(folder: Path) -> list[Path]:
    """Return the image files of a folder, sorted by name; hidden and other files are left out.

    Raises:
        DataError: If the folder does not exist or holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise DataError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    return paths


def max_pixels() -> int:
    """Return the most pixels an image may have: a small file can claim any size.

    Raises:
        DataError: If the environment variable holds no whole number above 0.
    """
    text = os.environ.get(MAX_PIXELS) or str(DEFAULT_MAX_PIXELS)
    if not text.isdecimal() or not 0 < int(text) < 2**63:
        raise DataError(f"{MAX_PIXELS} must be a whole number above 0, got {text!r}")
    return int(text)


def too_large(pixels: int, limit: int, option: str = MAX_PIXELS) -> str:
    """Say that an image is refused for its size, and which option raises the limit."""
    return (
        f"has {pixels:,} pixels, above the limit of {limit:,}; unless it is a decompression bomb, "
        f"raise {option}"
    )


@contextmanager
def without_pillows_limit() -> Iterator[None]:
    """Keep Pillow from applying a limit of its own, and from warning."""
    default = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = default


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file: (H, W, 3) RGB, 0…255.

    Raises:
        DataError: As `decode`.
        OSError: If it cannot be read, or is a pipe or a device.
    """
    with open_regular(path) as file:
        return decode(file.read(), str(path))


def read_header(file: Path | BinaryIO, name: str) -> ImageHeader:
    """Read an image's size and kind without decoding it.

    Args:
        file: The image file, or its content.
        name: How to call the image in errors.

    Raises:
        DataError: If it is not an image, not an 8-bit one, has transparency, or more pixels than
            `max_pixels`.
        OSError: If the file cannot be read.
    """
    if isinstance(file, Path):
        with open_regular(file) as stream:
            return read_header(stream, name)
    if not file.read(1):
        raise DataError(f"{name}: the file is empty")
    file.seek(0)
    limit = max_pixels()
    try:
        with without_pillows_limit(), Image.open(file, formats=FORMATS) as image:
            fault = _format_fault(image)
            header = ImageHeader(image.height, image.width, grey=image.mode in _GREY_MODES)
    except UnidentifiedImageError as error:
        reason = f"damaged, or of no known kind: {', '.join(FORMATS)}"
        raise DataError(f"{name}: cannot be read as an image ({reason})") from error
    except Exception as error:  # Pillow raises many types; each means that this is no image
        raise DataError(f"{name}: cannot be read as an image ({_first_line(error)})") from error
    if header.height * header.width > limit:
        raise DataError(f"{name}: {too_large(header.height * header.width, limit)}")
    if fault:
        raise DataError(f"{name}: expected an 8-bit grey or RGB image, got {fault}; convert it")
    return header


def _format_fault(image: Image.Image) -> str | None:
    if image.has_transparency_data:
        return "one with transparency"
    # Pillow opens a 16-bit RGB file as "RGB"; only its raw mode tells.
    if image.format in ("PNG", "TIFF") and ";16" in str(getattr(image, "tile", "")):
        return "16 bits per value"
    if image.mode not in _GREY_MODES + _COLOUR_MODES:
        return f"mode {image.mode!r}"
    return None


def check_complete(content: bytes, name: str) -> None:
    """Find a cut or damaged file where a decoder may return part of the image in silence.

    A PNG is read chunk by chunk and its checksums compared, at a small part of the cost of
    decoding it. A JPEG without its end marker is decoded to be sure. Of other formats the
    decoders themselves notice when the end is missing.

    Raises:
        DataError: If the image is cut short or damaged.
    """
    if content.startswith(_PNG_SIGNATURE):
        fault = _png_fault(content)
        if fault:
            raise DataError(f"{name}: {fault}")
    elif content.startswith(b"\xff\xd8") and not content.endswith(_JPEG_END):
        decode(content, name)


def _png_fault(content: bytes) -> str | None:
    view = memoryview(content)
    position = len(_PNG_SIGNATURE)
    while position + _PNG_CHUNK_FRAME <= len(view):
        length, kind = struct.unpack_from(">I4s", view, position)
        end = position + _PNG_CHUNK_FRAME + length
        if end > len(view):
            break
        crc = int.from_bytes(view[end - 4 : end], "big")
        # A capital initial marks the chunks that an image cannot do without.
        if kind[:1].isupper() and zlib.crc32(view[position + 4 : end - 4]) != crc:
            return f"the PNG is damaged (checksum of a {kind.decode('latin-1')} chunk)"
        if kind == b"IEND":
            return None
        position = end
    return "the PNG is cut short"


def decode(content: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an image to (H, W, 3) RGB, 0…255.

    Raises:
        DataError: If the bytes are empty, cut short, damaged, or not an 8-bit grey or RGB image.
    """
    read_header(BytesIO(content), name)
    if content.startswith(_PNG_SIGNATURE):
        check_complete(content, name)
    try:
        with without_pillows_limit(), Image.open(BytesIO(content), formats=FORMATS) as image:
            return np.array(image.convert("RGB"))
    except Exception as error:  # as in read_header
        raise DataError(f"{name}: cannot be decoded ({_first_line(error)})") from error


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) RGB, 0…255, as PNG."""
    stream = BytesIO()
    # On photographs, run lengths alone are faster both ways than zlib's search, and smaller.
    Image.fromarray(image).save(
        stream, "PNG", compress_level=PNG_COMPRESS_LEVEL, compress_type=zlib.Z_RLE
    )
    return stream.getvalue()


def png_shape(head: bytes | memoryview, tail: bytes | memoryview) -> tuple[int, int, int] | None:
    """Return (H, W, C) of a whole 8-bit PNG, or None if it is cut short or something else.

    Args:
        head: The first 26 bytes or more.
        tail: The last 12 bytes or more.
    """
    if len(head) < 26 or head[:8] != _PNG_SIGNATURE or tail[-len(_PNG_END) :] != _PNG_END:
        return None
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
    channels = {0: 1, 2: 3}.get(colour)
    return (height, width, channels) if depth == 8 and channels else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
