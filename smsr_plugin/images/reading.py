"""Image files to pictures: the one reader.

A file is opened once, and what was checked is what is decoded. Its content, not its name, says of
which kind it is; its own tags say what its values mean. What cannot be decoded with certainty is
refused by name.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from smsr_plugin.images import netpbm, pillow, png
from smsr_plugin.images.errors import SHORTAGE, UNKNOWN, ImageError, guarded
from smsr_plugin.images.metadata import upright
from smsr_plugin.images.picture import LONGEST, Header, Picture, kind_of
from smsr_plugin.machine import available_bytes
from smsr_plugin.staging import open_regular

_HEADERS: dict[str, ModuleType] = {"PNG": png, "PPM": netpbm}
#: Bytes of a file that every machine has room for.
LARGE = 1 << 26
#: The environment variable that sets the most pixels an image may have: a small file can claim any
#: size.
MAX_PIXELS = "SMSR_MAX_PIXELS"
#: Without it: Pillow's own limit, 256 MiB of RGB.
DEFAULT_MAX_PIXELS = 1024 * 1024 * 1024 // 4 // 3
_OPTION = f"--max-pixels or {MAX_PIXELS}"


def read_picture(path: Path, max_pixels: int | None = None, option: str = _OPTION) -> Picture:
    """Read an image file, turned upright.

    Grey and 16-bit images stay what they are. A palette becomes RGB, as does CMYK, through its
    colour profile. Of an animation the first frame is read. The notes say so.

    Args:
        path: BMP, GIF, JPEG, PNG, PBM, PGM, PPM, TIFF or WebP; told from the content.
        max_pixels: Refuse larger images. By default what `MAX_PIXELS` says.
        option: What errors name to raise the limit.

    Raises:
        ImageError: If the file is no such image, damaged, cut short, empty or too large.
    """
    try:
        with open_regular(path) as file:
            content = content_of(file)
    except OSError as error:
        raise ImageError(_reason(path, error)) from error
    return decode(content, max_pixels, option)


def content_of(file: BinaryIO) -> bytes:
    """Read an opened image file as a whole, unless that would fill the memory.

    Raises:
        ImageError: If it is of no known kind, or larger than the memory that is free.
        OSError: If it cannot be read.
    """
    start = file.read(LONGEST)
    if start and kind_of(start) is None:
        raise ImageError(UNKNOWN)
    size = os.fstat(file.fileno()).st_size
    if size > LARGE and size > available_bytes():
        raise ImageError(f"{SHORTAGE}: the file has {size:,} bytes")
    file.seek(0)
    return file.read()


def decode(content: bytes, max_pixels: int | None = None, option: str = MAX_PIXELS) -> Picture:
    """Decode the content of an image file; see `read_picture`.

    Args:
        content: All of it.
        max_pixels: Refuse larger images. By default what `MAX_PIXELS` says.
        option: What errors name to raise the limit.
    """
    header = read_header(BytesIO(content), max_pixels, option)
    with guarded():
        picture = upright(_decoded(header, content), header.orientation)
    if picture.size != header.size:
        raise ImageError("is damaged (it says one size and holds another)")
    return picture


def read_header(file: BinaryIO, max_pixels: int | None = None, option: str = MAX_PIXELS) -> Header:
    """Read what a file says of its image, before a pixel is decoded.

    Args:
        file: The image file, or its content.
        max_pixels, option: See `decode`.

    Raises:
        ImageError: If it is no image of a known kind, of a kind that is refused, or too large.
    """
    start = file.read(LONGEST)
    if not start:
        raise ImageError("the file is empty")
    kind = kind_of(start)
    if kind is None:
        raise ImageError(UNKNOWN)
    with guarded():
        header = _headers_of(kind).read_header(file)
    check_pixels(header.width, header.height, max_pixels, option)
    return header


def check_pixels(width: int, height: int, max_pixels: int | None, option: str = _OPTION) -> None:
    """Raise ImageError if an image of that size is too large; see `decode`."""
    limit = max_pixels or _max_pixels()
    if (pixels := width * height) > limit:
        raise ImageError(
            f"has {pixels:,} pixels, above the limit of {limit:,}; unless it is a decompression "
            f"bomb, raise {option}"
        )


def _max_pixels() -> int:
    text = os.environ.get(MAX_PIXELS) or str(DEFAULT_MAX_PIXELS)
    if not text.isdecimal() or not 0 < int(text) < 2**63:
        raise ImageError(f"{MAX_PIXELS} must be a whole number above 0, got {text!r}")
    return int(text)


def _headers_of(kind: str) -> ModuleType:
    if kind == "TIFF":
        from smsr_plugin.images import tiff_tags  # slow to import, and needed here only

        return tiff_tags
    return _HEADERS.get(kind, pillow)


def _decoded(header: Header, content: bytes) -> Picture:
    if header.kind == "PNG":
        return png.decode(content)
    if header.kind == "TIFF":
        from smsr_plugin.images import tiff

        return tiff.decode(content)
    if header.kind == "PPM" and header.bits > 8:
        return netpbm.decode(content)
    return pillow.decode(content)


def _reason(path: Path, error: OSError) -> str:
    if not path.exists():
        return "does not exist"
    return "is not a file" if not path.is_file() else f"cannot be read: {error.strerror or error}"
