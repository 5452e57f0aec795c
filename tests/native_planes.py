"""Planes of the native kernels, and a comparison that says where two of them differ.

Written from the description in `smsr_plugin/csrc/kernels.h`: a plane is (rows, stride, channels),
height and width rounded up to whole tiles of 4×4, and one more pixel on every side.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

TILE = 4
OUTSIDE, INACTIVE, ACTIVE = 0, 1, 2
#: What planes are filled with before a kernel writes into them; bfloat16 holds it exactly.
SENTINEL = -77.0

#: Sizes (height, width) at which planes and tiles begin, end, or are not whole.
SIZES = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 17), (4, 4), (5, 4), (4, 5), (8, 12), (13, 17)]


def plane_shape(height: int, width: int) -> tuple[int, int]:
    """Return (rows, stride) of a plane for images of a size."""
    return tile_rows(height) * TILE + 2, tile_rows(width) * TILE + 2


def tile_rows(length: int) -> int:
    """Return how many tiles cover a height or width."""
    return (length + TILE - 1) // TILE


def filled_plane(height: int, width: int, channels: int, value: float = SENTINEL) -> NDArray:
    """Return a float32 plane that holds one value everywhere."""
    return np.full((*plane_shape(height, width), channels), value, np.float32)


def plane_of(image: NDArray, channels: int) -> NDArray:
    """Lay a (C, H, W) image into a float32 plane of `channels` channels, zero elsewhere."""
    count, height, width = image.shape
    plane = filled_plane(height, width, channels, 0)
    inside(plane, height, width)[..., :count] = image.transpose(1, 2, 0)
    return plane


def inside(plane: NDArray, height: int, width: int) -> NDArray:
    """View the pixels of the image in a plane, (H, W, ...)."""
    return plane[1 : height + 1, 1 : width + 1]


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


def assert_planes_equal(got: NDArray, expected: NDArray, tolerance: NDArray | float = 0) -> None:
    """Compare two planes, border and padding included; a NaN equals a NaN.

    Raises:
        AssertionError: With the first pixel that differs by more than `tolerance`, its tile, its
            channel, and how many values differ.
    """
    assert got.shape == expected.shape
    with np.errstate(invalid="ignore"):
        close = np.abs(got.astype(np.float64) - expected) <= tolerance
    wrong = ~(close | (np.isnan(got) & np.isnan(expected)))
    if not wrong.any():
        return
    row, column, channel = (int(i) for i in np.argwhere(wrong)[0])
    raise AssertionError(
        f"{wrong.sum()} of {wrong.size} values differ, first at pixel y = {row - 1}, "
        f"x = {column - 1} of tile ({(row - 1) // TILE}, {(column - 1) // TILE}), channel {channel}"
        f": got {got[row, column, channel]}, expected {expected[row, column, channel]}, "
        f"tolerance {np.broadcast_to(tolerance, wrong.shape)[row, column, channel]}"
    )
