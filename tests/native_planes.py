"""Planes of the native kernels, and a comparison that says where two of them differ.

Written from the description in `smsr_plugin/sparse/csrc/kernels.h`: a plane is (lines, rows,
stride, channels of a line), height rounded up to whole tiles and width to whole runs, and one more
pixel on every side. References are computed on unfolded planes, (rows, stride, channels).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

TILE, RUN = 4, 16
#: Bytes of a line: 16 channels of float32, 32 of bfloat16, which is kept as its bits in uint16, or
#: 64 levels in uint8.
LINE_BYTES = 64
OUTSIDE, INACTIVE, ACTIVE = 0, 1, 2
#: What planes are filled with before a kernel writes into them; bfloat16 holds it exactly.
SENTINEL = -77.0

#: Sizes (height, width) at which planes, tiles and runs begin, end, or are not whole.
SIZES = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 17), (4, 4), (5, 15), (4, 16), (8, 12), (13, 33)]
#: A size at which 64 channels of float32 or 128 of bfloat16 are stored past the cache, 4 MiB.
LARGE = (130, 140)


def plane_shape(height: int, width: int) -> tuple[int, int]:
    """Return (rows, stride) of a plane for images of a size."""
    return tile_rows(height) * TILE + 2, run_columns(width) * RUN + 2


def tile_rows(length: int) -> int:
    """Return how many tiles cover a height or width."""
    return (length + TILE - 1) // TILE


def run_columns(width: int) -> int:
    """Return how many runs cover a row."""
    return (width + RUN - 1) // RUN


def filled_plane(
    height: int, width: int, channels: int, value: float = SENTINEL, dtype: Any = np.float32
) -> NDArray:
    """Return a plane of at least so many channels that holds one value everywhere."""
    return fold(np.full((*plane_shape(height, width), channels), value), dtype, value)


def plane_of(image: NDArray, channels: int = 0, dtype: Any = np.float32) -> NDArray:
    """Lay a (C, H, W) image into a plane of at least `channels` channels, zero elsewhere."""
    count, height, width = image.shape
    values = np.zeros((*plane_shape(height, width), max(channels, count)), np.float32)
    inside(values, height, width)[..., :count] = image.transpose(1, 2, 0)
    return fold(values, dtype)


def fold(values: NDArray, dtype: Any = np.float32, fill: float = 0) -> NDArray:
    """Cut (rows, stride, channels) into the lines of a plane; the last one is filled up."""
    line = LINE_BYTES // np.dtype(dtype).itemsize
    rows, stride, channels = values.shape
    lines = (channels + line - 1) // line
    whole = np.full((rows, stride, lines * line), fill, np.float32)
    whole[..., :channels] = values
    plane = np.ascontiguousarray(whole.reshape(rows, stride, lines, line).transpose(2, 0, 1, 3))
    return to_bfloat16(plane) if dtype == np.uint16 else plane.astype(dtype, copy=False)


def unfold(plane: NDArray) -> NDArray[np.float32]:
    """Return the values of a plane as (rows, stride, channels)."""
    plane = from_bfloat16(plane) if plane.dtype == np.uint16 else plane
    lines, rows, stride, line = plane.shape
    return plane.transpose(1, 2, 0, 3).reshape(rows, stride, lines * line)


def inside(values: NDArray, height: int, width: int) -> NDArray:
    """View the pixels of the image in (rows, stride, ...), (H, W, ...)."""
    return values[1 : height + 1, 1 : width + 1]


def flat(values: NDArray) -> NDArray:
    """View (rows, stride, channels) as rows of channels, by the indices of pixels."""
    return values.reshape(-1, values.shape[2])


def activity_of(mask: NDArray) -> NDArray[np.uint8]:
    """Return the plane of activities of an (H, W) mask."""
    plane = np.full(plane_shape(*mask.shape), OUTSIDE, np.uint8)
    inside(plane, *mask.shape)[:] = np.where(mask, ACTIVE, INACTIVE)
    return plane


def pixels_where(mask: NDArray) -> NDArray[np.int32]:
    """Return the indices in a plane of the pixels that an (H, W) mask marks, in reading order."""
    y, x = np.nonzero(mask)
    return ((y + 1) * plane_shape(*mask.shape)[1] + x + 1).astype(np.int32)


def in_tiles(tiles: NDArray, height: int, width: int) -> NDArray[np.bool_]:
    """Return the (H, W) mask of the pixels that lie in the listed tiles."""
    columns = tile_rows(width)
    y, x = np.ogrid[:height, :width]
    return np.isin(y // TILE * columns + x // TILE, tiles)


def conv3x3(image: NDArray, kernel: NDArray) -> NDArray[np.float64]:
    """Convolve (K, H, W) with (N, K, 3, 3), zeros around, in float64; return (H, W, N)."""
    out = torch.nn.functional.conv2d(
        torch.from_numpy(image)[None].double(), torch.from_numpy(kernel).double(), padding=1
    )
    return out[0].permute(1, 2, 0).numpy()


def to_bfloat16(values: NDArray) -> NDArray[np.uint16]:
    """Round to the bits of bfloat16."""
    rounded = torch.from_numpy(np.ascontiguousarray(values, np.float32)).bfloat16()
    return rounded.view(torch.int16).numpy().view(np.uint16)


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the values of bfloat16 bits."""
    return torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float().numpy()


def rounded(values: NDArray, dtype: Any) -> NDArray:
    """Return the values that a plane of a dtype keeps."""
    return from_bfloat16(to_bfloat16(values)) if dtype == np.uint16 else values


def copy_at(array: NDArray, byte: int) -> NDArray:
    """Return a copy that begins so many bytes after the beginning of a cache line."""
    memory = np.empty(array.nbytes + 2 * LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % LINE_BYTES + byte
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def assert_stored_alike_past_the_cache(call: Callable[..., Any], *outputs: NDArray) -> None:
    """Compare a call that stores past the cache with the same call that stores as usual.

    Args:
        call: Takes copies of `outputs` to write into, and a number of threads. May return sums.
        outputs: Planes large enough; they are stored past the cache if they begin with a line of
            it, as copies here do or do not.
    """
    results = []
    for byte, threads in ((0, 1), (0, 2), (16, 1)):
        copies = [copy_at(out, byte) for out in outputs]
        assert all(copy.nbytes >= 4 << 20 for copy in copies)
        sums = call(*copies, threads=threads)
        results.append((*copies, *([] if sums is None else [sums])))
    usual = results.pop()
    assert not any(np.array_equal(*pair) for pair in zip(usual, outputs, strict=False))
    for past_the_cache in results:
        for got, expected in zip(past_the_cache, usual, strict=True):
            np.testing.assert_array_equal(got, expected)


def assert_planes_equal(got: NDArray, expected: NDArray, tolerance: NDArray | float = 0) -> None:
    """Compare two planes, border and padding included; a NaN equals a NaN.

    Args:
        got: (lines, rows, stride, channels of a line), in float32 or bits of bfloat16.
        expected: (rows, stride, channels).
        tolerance: What values may differ by.

    Raises:
        AssertionError: With the first pixel that differs by more, its tile and run, its channel,
            and how many values differ.
    """
    values = unfold(got)
    assert values.shape == expected.shape
    with np.errstate(invalid="ignore"):
        close = np.abs(values.astype(np.float64) - expected) <= tolerance
    wrong = ~(close | (np.isnan(values) & np.isnan(expected)))
    if not wrong.any():
        return
    row, column, channel = (int(i) for i in np.argwhere(wrong)[0])
    y, x = row - 1, column - 1
    raise AssertionError(
        f"{wrong.sum()} of {wrong.size} values differ, first at pixel y = {y}, x = {x} of tile "
        f"({y // TILE}, {x // TILE}) and run ({y}, {x // RUN}), channel {channel}: "
        f"got {values[row, column, channel]}, expected {expected[row, column, channel]}, "
        f"tolerance {np.broadcast_to(tolerance, wrong.shape)[row, column, channel]}"
    )
