"""What the operations of native inference share: the image at hand, and lists of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native.planes import TILE, Planes

#: Steps (dy, dx) from a pixel to the nine pixels that a 3×3 kernel sees.
NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))

Indices = NDArray[np.int32]


@dataclass(frozen=True)
class Run:
    """One image's way through the network.

    Attributes:
        kernels: The module `smsr_plugin._kernels`.
        planes: The scratch memory, sized for the image.
        threads: How many threads the kernels use.
    """

    kernels: Any
    planes: Planes
    threads: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.planes.height, self.planes.width

    @property
    def pixel_count(self) -> int:
        """How many pixels the image has."""
        return self.planes.height * self.planes.width


class BlockMask(NamedTuple):
    """A block's spatial mask: pixels by their index in a plane, tiles in reading order.

    Attributes:
        activity: Plane of `ACTIVE` and `INACTIVE`, 0 in the border.
        active, inactive: Pixels.
        active_tiles, inactive_tiles: Tiles with such a pixel; a tile with both is in both.
        neighbours: For each active pixel, bit t where its neighbour t is active.
    """

    activity: NDArray[np.uint8]
    active: Indices
    inactive: Indices
    active_tiles: Indices
    inactive_tiles: Indices
    neighbours: NDArray[np.uint16]

    @classmethod
    def of(cls, run: Run, activity: NDArray[np.uint8]) -> BlockMask:
        """List what `activity` marks."""
        return cls(activity, *run.kernels.list_active(*run.size, activity, threads=run.threads))


@lru_cache(maxsize=8)
def all_tiles(height: int, width: int) -> Indices:
    """Return the list of every tile of an image."""
    return np.arange(-(-height // TILE) * -(-width // TILE), dtype=np.int32)


@lru_cache(maxsize=8)
def all_pixels(height: int, width: int) -> Indices:
    """Return the list of every pixel of an image."""
    return _pixels(height, width, *np.ogrid[:height, :width]).ravel()


@lru_cache(maxsize=8)
def patches(height: int, width: int, length: int) -> Indices:
    """Return every pixel of an image of even size, in patches of 2×`length`.

    Patches that reach beyond the right edge repeat its pixels.
    """
    y = np.arange(height).reshape(-1, 1, 2, 1)
    x = np.arange(padded_to(width, length)).reshape(1, -1, 1, length)
    return _pixels(height, width, y, np.minimum(x, width - 1)).ravel()


def padded_to(count: int, multiple: int) -> int:
    """Round up to a multiple."""
    return -(-count // multiple) * multiple


def _pixels(height: int, width: int, y: NDArray, x: NDArray) -> Indices:
    stride = padded_to(width, TILE) + 2
    return ((y + 1) * stride + x + 1).astype(np.int32)
