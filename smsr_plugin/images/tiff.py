"""TIFF: what its tags say is decoded by tifffile and Pillow, or refused by name.

tifffile needs a large library of its author's for most compressions. Here the strips and tiles are
unpacked by libtiff, which comes with Pillow, as bytes that mean nothing; what they mean (bits, byte
order, planes, differences) is tifffile's part. Pages that Pillow alone reads rightly, such as those
of JPEG, it decodes as a whole.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from smsr_plugin.images import pillow
from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.metadata import DESCRIPTIVE, kept_exif
from smsr_plugin.images.picture import FIRST_FRAME, Picture
from smsr_plugin.images.pixels import Pixels, spread, unmultiplied
from smsr_plugin.images.tiff_tags import (
    ASSOCIATED,
    COLOURS,
    ORIENTATION,
    PROFILE,
    WHITE_IS_ZERO,
    first_page,
    has_more_pages,
    is_direct,
    opacity_channel,
    opened,
)

EXTRA = "channels that are not opacity were left out"
BEYOND = "of its EXIF data only the description was kept"
EXIF_DIRECTORIES = (34665, 34853)
#: What a tile may have more than the image, when it is larger.
LARGEST_TILE = 1 << 24


def decode(content: bytes) -> Picture:
    """Decode the first page of a file.

    Raises:
        ImageError: If it is refused by its tags, cut short or damaged.
    """
    with opened(BytesIO(content)) as tiff:
        page = first_page(tiff)
        exif, beyond = _exif(tiff, page, content)
        tags, dropped = kept_exif(exif)
        profile = page.tags.valueof(PROFILE)
        more = has_more_pages(tiff, page, content)
        direct = is_direct(page)
        decoded = (
            _direct(page, content) if direct else pillow.decode(_unturned(tiff, page, content))
        )
    kept = tuple(note for note in decoded.notes if note != FIRST_FRAME)
    notes = kept + beyond + ((FIRST_FRAME,) if more else ()) + dropped
    if page.photometric == PHOTOMETRIC.SEPARATED:
        profile = None
    profile = profile if isinstance(profile, bytes) and profile else None
    return replace(decoded, exif=tags, icc_profile=profile, notes=notes)


def _direct(page: TiffPage, content: bytes) -> Picture:
    """Decode a page by its tags."""
    values = _values(page, content)
    if page.photometric == PHOTOMETRIC.SEPARATED:
        image = pillow.without_cmyk(Image.fromarray(values, "CMYK"), page.tags.valueof(PROFILE))
        return Picture(np.array(image), notes=(pillow.FROM_CMYK,))
    base = COLOURS[PHOTOMETRIC(page.photometric)][0]
    colour, alpha = values[..., :base], None
    if page.photometric == WHITE_IS_ZERO:
        colour = np.iinfo(colour.dtype).max - colour
    opacity = opacity_channel(page)
    if opacity is not None:
        alpha = values[..., opacity]
        if page.extrasamples[opacity - base : opacity - base + 1] == (ASSOCIATED,):
            colour = unmultiplied(colour, alpha)
    left_out = page.samplesperpixel > base + (opacity is not None)
    return Picture(colour, alpha, notes=(EXTRA,) if left_out else ())


def _values(page: TiffPage, content: bytes) -> Pixels:
    """Return the values of a page, (H, W, channels), over the whole range of 8 or 16 bits."""
    planes, _, height, width, channels = page.shaped
    dtype = np.uint16 if page.bitspersample == 16 else np.uint8
    image = np.empty((planes, height, width, channels), dtype)
    for segment, (plane, _, top, left, _) in _segments(page, content):
        rows, columns = min(segment.shape[1], height - top), min(segment.shape[2], width - left)
        image[plane, top : top + rows, left : left + columns] = segment[0, :rows, :columns]
    values = image.transpose(1, 2, 0, 3).reshape(height, width, planes * channels)
    return spread(values, 2**page.bitspersample - 1)


def _segments(
    page: TiffPage, content: bytes
) -> Iterator[tuple[NDArray[np.unsignedinteger], tuple[int, ...]]]:
    """Yield the strips or tiles, (1, rows, columns, channels), and where each one begins."""
    planes, _, height, width, channels = page.shaped
    rows, columns = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, width)
    )
    if rows < 1 or columns < 1 or rows * columns > max(height * width, LARGEST_TILE):
        raise ImageError("the TIFF is damaged (the size of its strips or tiles)")
    count = planes * math.ceil(height / rows) * math.ceil(width / columns)
    if min(len(page.dataoffsets), len(page.databytecounts)) < count:
        raise ImageError("the TIFF is cut short")
    row_bytes = math.ceil(columns * channels * page.bitspersample / 8)
    compression, fill_order = page.compression, page.fillorder
    if compression != COMPRESSION.NONE:  # what is left when the bytes are unpacked
        page.compression, page.fillorder = COMPRESSION.NONE, 1
    for index in range(count):
        top = index % math.ceil(height / rows) * rows
        used = rows if page.is_tiled else min(rows, height - top)
        offset, length = page.dataoffsets[index], page.databytecounts[index]
        data = content[offset : offset + length]
        if compression == COMPRESSION.NONE:
            data = data[: used * row_bytes]
        else:
            data = unpacked(data, compression, fill_order, used, row_bytes)
        if not offset or len(data) < used * row_bytes:
            raise ImageError("the TIFF is cut short")
        segment, place, _ = page.decode(data, index)
        if segment is None:
            raise ImageError("the TIFF is damaged (a strip or tile is empty)")
        yield segment, place


def unpacked(data: bytes, compression: int, fill_order: int, rows: int, row_bytes: int) -> bytes:
    """Unpack a strip or tile: as the only strip of a grey image of 8 bits, as wide as its rows."""
    tags = {256: row_bytes, 257: rows, 258: 8, 259: int(compression), 262: 1, 266: fill_order,
            273: 0, 277: 1, 278: rows, 279: len(data)}  # fmt: skip
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data
    with Image.open(BytesIO(file), formats=("TIFF",)) as image:
        return image.tobytes()


def _unturned(tiff: TiffFile, page: TiffPage, content: bytes) -> bytes:
    """Set a file's orientation to upright: Pillow would obey it, which is done later for all."""
    tag = page.tags.get(ORIENTATION)
    if tag is None:
        return content
    one = struct.pack(f"{tiff.byteorder}H", 1)
    return content[: tag.valueoffset] + one + content[tag.valueoffset + 2 :]


def _exif(tiff: TiffFile, page: TiffPage, content: bytes) -> tuple[Image.Exif, tuple[str, ...]]:
    """Return the EXIF data, which Pillow reads but for those of a big-endian BigTIFF."""
    exif = Image.Exif()
    if not tiff.is_bigtiff or tiff.byteorder == "<":
        exif.endian, exif.bigtiff = tiff.byteorder, tiff.is_bigtiff
        exif.load_from_fp(BytesIO(content), page.offset)
        return exif, ()
    texts = {tag: page.tags.valueof(tag) for tag in DESCRIPTIVE}
    exif.update({tag: text for tag, text in texts.items() if isinstance(text, str)})
    beyond = any(tag in page.tags for tag in EXIF_DIRECTORIES)
    return exif, (BEYOND,) if beyond else ()
