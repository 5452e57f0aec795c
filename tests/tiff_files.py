"""TIFF files of every layout, written by the specification alone: no library is asked.

TIFF 6.0 (Adobe, 1992), sections 2, 8, 13 (LZW), 14 (differences), 15 (tiles); BigTIFF as libtiff
describes it.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE, LZW, DEFLATE = 1, 5, 8
MIN_IS_WHITE, MIN_IS_BLACK, RGB = 0, 1, 2
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
ASSOCIATED, UNASSOCIATED = 1, 2
SHORT, LONG, LONG8 = 3, 4, 16
CODES = {SHORT: "H", LONG: "I", LONG8: "Q"}
#: By tag: the type of its values, and the values.
Tags = dict[int, tuple[int, list[int]]]


@dataclass(frozen=True)
class Layout:
    """How pixels are laid out in a file.

    Attributes:
        planar: 1: the channels of a pixel lie together; 2: in planes.
        compression: NONE, LZW or DEFLATE.
        byte_order: "<" or ">".
        tile: Side of square tiles; 0 for strips of `rows`.
        rows: Of a strip.
        big: BigTIFF.
        predictor: 2 to store differences.
        extra: The kind of the last channel, if it is extra.
        photometric: None for grey or RGB by the channels.
        orientation: EXIF's; None for none.
    """

    planar: int = 1
    compression: int = NONE
    byte_order: str = "<"
    tile: int = 0
    rows: int = 7
    big: bool = False
    predictor: int = 1
    extra: int | None = UNASSOCIATED
    photometric: int | None = None
    orientation: int | None = None


def tiff(pixels: NDArray, layout: Layout, bits: int | None = None) -> bytes:
    """Return a file that holds pixels (H, W, C); `bits` 1 stores booleans as bits."""
    height, width, channels = pixels.shape
    bits = bits or 8 * pixels.itemsize
    planes = [pixels] if layout.planar == 1 else [pixels[..., c : c + 1] for c in range(channels)]
    segments = [segment for plane in planes for segment in _cut(plane, layout)]
    packed = [_packed(segment, layout, bits) for segment in segments]
    kinds = {"u": UNSIGNED, "b": UNSIGNED, "i": SIGNED, "f": FLOAT}
    grey = MIN_IS_BLACK if channels < 3 else RGB
    place, count = ((322, layout.tile), (323, layout.tile)), len(packed)
    tags: Tags = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * channels),
        259: (SHORT, [layout.compression]),
        262: (SHORT, [grey if layout.photometric is None else layout.photometric]),
        277: (SHORT, [channels]),
        284: (SHORT, [layout.planar]),
        339: (SHORT, [kinds[pixels.dtype.kind]] * channels),
    }
    if layout.tile:
        tags |= {tag: (LONG, [value]) for tag, value in place}
        offsets, lengths = 324, 325
    else:
        tags[278] = (LONG, [layout.rows])
        offsets, lengths = 273, 279
    if channels in (2, 4) and layout.extra is not None:
        tags[338] = (SHORT, [layout.extra])
    if layout.predictor != 1:
        tags[317] = (SHORT, [layout.predictor])
    if layout.orientation is not None:
        tags[274] = (SHORT, [layout.orientation])
    tags[offsets] = (LONG, [0] * count)
    tags[lengths] = (LONG, [len(data) for data in packed])
    return _file(tags, offsets, packed, layout)


def _cut(plane: NDArray, layout: Layout) -> list[NDArray]:
    height, width, _ = plane.shape
    if not layout.tile:
        return [plane[top : top + layout.rows] for top in range(0, height, layout.rows)]
    side = layout.tile
    below, right = -height % side, -width % side
    padded = np.pad(plane, ((0, below), (0, right), (0, 0)))
    return [
        padded[top : top + side, left : left + side]
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def _packed(segment: NDArray, layout: Layout, bits: int) -> bytes:
    if bits == 1:
        rows = segment.reshape(segment.shape[0], -1)
        data = np.packbits(rows.astype(bool), axis=1).tobytes()
    else:
        if layout.predictor == 2:
            segment = np.concatenate((segment[:, :1], np.diff(segment, axis=1)), axis=1)
        data = segment.astype(segment.dtype.newbyteorder(layout.byte_order)).tobytes()
    if layout.compression == DEFLATE:
        return zlib.compress(data)
    return lzw(data) if layout.compression == LZW else data


def lzw(data: bytes) -> bytes:
    """Compress by LZW as TIFF has it: codes of 9 to 12 bits, the longer ones one code early."""
    codes, out, size = [256], 0, 0
    table = {bytes([value]): value for value in range(256)}
    widths = [9]
    word = b""
    for value in data:
        longer = word + bytes([value])
        if longer in table:
            word = longer
            continue
        codes.append(table[word])
        widths.append((len(table) + 2).bit_length())
        table[longer] = len(table) + 2
        if len(table) + 2 > 4094:
            codes.append(256)
            widths.append(12)
            table = {bytes([value]): value for value in range(256)}
        word = bytes([value])
    if word:
        codes.append(table[word])
        widths.append((len(table) + 2).bit_length())
    codes.append(257)
    widths.append((len(table) + 3).bit_length())
    for code, width in zip(codes, widths, strict=True):
        out, size = out << width | code, size + width
    return (out << -size % 8).to_bytes(math.ceil(size / 8), "big")


def _file(tags: Tags, offsets: int, packed: list[bytes], layout: Layout) -> bytes:
    """Put header, tags, the values that have no room in their tags, and segments together."""
    order, big = layout.byte_order, layout.big
    word, count, start, wide = ("Q", "Q", 16, LONG8) if big else ("I", "H", 8, LONG)
    room = struct.calcsize("=" + word)
    tags[offsets] = (wide, tags[offsets][1])
    beyond = start + struct.calcsize("=" + count) + (room + 4 + room) * len(tags) + room
    sizes = [struct.calcsize("=" + CODES[kind]) * len(values) for kind, values in tags.values()]
    position = beyond + sum(size for size in sizes if size > room)
    for number, data in enumerate(packed):
        tags[offsets][1][number] = position
        position += len(data)
    entries = values_beyond = b""
    for tag, (kind, values) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(values)}{CODES[kind]}", *values)
        entries += struct.pack(f"{order}HH{word}", tag, kind, len(values))
        if len(data) > room:
            entries += struct.pack(order + word, beyond + len(values_beyond))
            values_beyond += data
        else:
            entries += data.ljust(room, b"\0")
    version = struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    header = (b"II" if order == "<" else b"MM") + version + struct.pack(order + count, len(tags))
    return header + entries + bytes(room) + values_beyond + b"".join(packed)
