"""The pixels of a PNG of 16 bits a value, in its own format (PNG specification, sections 7 to 9).

Pillow keeps 8 of the bits. OpenCV keeps all 16, but is larger than all else that inference needs.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.images.errors import ImageError

#: Of an interlaced image's passes: the first row and column, and the steps to the next.
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
WHOLE = ((0, 0, 1, 1),)
#: How the bytes of a row were predicted: not at all, from the left, from above, by the mean of
#: both, or by whichever of left, above and above left is nearest to left + above − above left.
NONE, SUB, UP, AVERAGE, PAETH = range(5)


def unpack_pixels(
    packed: bytes, height: int, width: int, channels: int, interlaced: bool
) -> NDArray[np.uint16]:
    """Return the pixels, (height, width, channels), that the image data of a PNG hold.

    Raises:
        ImageError: If the data are damaged or too short.
    """
    passes = [
        np.s_[top::down, left::right] for top, left, down, right in (ADAM7 if interlaced else WHOLE)
    ]
    pixels = np.empty((height, width, channels), ">u2")
    sizes = [pixels[where].shape[:2] for where in passes]
    scanlines = _inflated(
        packed, sum(rows * (1 + 2 * channels * columns) for rows, columns in sizes if columns)
    )
    position = 0
    for where, (rows, columns) in zip(passes, sizes, strict=True):
        if not rows or not columns:
            continue
        end = position + rows * (1 + 2 * channels * columns)
        lines = scanlines[position:end].reshape(rows, -1)
        found = _unfiltered(lines[:, 0], lines[:, 1:].reshape(rows, columns, -1))
        pixels[where] = found.view(">u2")
        position = end
    return pixels.astype(np.uint16)


def pack_pixels(pixels: NDArray[np.uint16], level: int) -> bytes:
    """Return the image data for pixels (H, W, C), each predicted from its left neighbour.

    Args:
        level: Of zlib, 0…9.
    """
    stored = np.ascontiguousarray(pixels, ">u2").view(np.uint8)
    lines = np.empty((len(stored), 1 + stored[0].size), np.uint8)
    lines[:, 0] = SUB
    differences = lines[:, 1:].reshape(stored.shape)
    differences[:, 0] = stored[:, 0]
    np.subtract(stored[:, 1:], stored[:, :-1], out=differences[:, 1:])
    return zlib.compress(lines.tobytes(), level)


def _inflated(packed: bytes, size: int) -> NDArray[np.uint8]:
    try:
        scanlines = zlib.decompressobj().decompress(packed, size)
    except zlib.error:
        scanlines = b""
    if len(scanlines) < size:
        raise ImageError("the PNG is damaged (its 16-bit values cannot be decoded)")
    return np.frombuffer(scanlines, np.uint8)


def _unfiltered(filters: NDArray[np.uint8], rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the prediction of rows of pixels, (H, W, bytes of a pixel).

    A pixel needs those to its left and above it, so all of a diagonal can be had at once.
    """
    if filters.max() > PAETH:
        raise ImageError("the PNG is damaged (a row has a filter that there is not)")
    height, width, size = rows.shape
    # Zeros to the left and above. In memory the neighbours on a diagonal are `width` pixels apart.
    padded = np.zeros((height + 1, width + 1, size), np.uint8)
    padded[1:, 1:] = rows
    flat = padded.reshape(-1, size)
    for first, count, rows_of in _diagonals(height, width):
        last = first + (count - 1) * width + 1

        def shifted(by: int, first: int = first, last: int = last) -> NDArray[np.int16]:
            return flat[first - by : last - by : width].astype(np.int16)

        predicted = _predicted(
            filters[rows_of, None], shifted(1), shifted(width + 1), shifted(width + 2)
        )
        flat[first:last:width] += predicted.astype(np.uint8)
    return np.ascontiguousarray(padded[1:, 1:])


def _diagonals(height: int, width: int) -> Iterator[tuple[int, int, slice]]:
    """Yield of each diagonal its first pixel in padded memory, its length, and its rows."""
    for diagonal in range(height + width - 1):
        top, bottom = max(0, diagonal - width + 1), min(height - 1, diagonal)
        first = (top + 1) * (width + 1) + diagonal - top + 1
        yield first, bottom - top + 1, np.s_[top : bottom + 1]


def _predicted(
    filters: NDArray[np.uint8],
    left: NDArray[np.int16],
    above: NDArray[np.int16],
    corner: NDArray[np.int16],
) -> NDArray[np.int16]:
    to_left, to_above = np.abs(above - corner), np.abs(left - corner)
    to_corner = np.abs(left + above - 2 * corner)
    nearest = np.where(to_above <= to_corner, above, corner)
    is_left = (to_left <= to_above) & (to_left <= to_corner)
    paeth = np.where(is_left, left, nearest)
    found = np.stack((np.zeros_like(left), left, above, (left + above) >> 1, paeth))
    return np.take_along_axis(found, filters[None].astype(np.intp), 0)[0]
