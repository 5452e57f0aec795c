"""What the operations of native inference share: the image at hand, and lists of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native.planes import RUN, TILE, Planes, padded_size

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
    """A block's spatial mask: pixels by their index in a plane, tiles and runs in reading order.

    Attributes:
        activity: Plane of `ACTIVE` and `INACTIVE`, 0 in the border.
        active, inactive: Pixels.
        active_tiles, inactive_tiles: Tiles with such a pixel; a tile with both is in both.
        active_runs, inactive_runs: Runs likewise.
        idle_runs: Runs without an active pixel.
        stale_runs: Those of them that had one in the block before.
    """

    activity: NDArray[np.uint8]
    active: Indices
    inactive: Indices
    active_tiles: Indices
    inactive_tiles: Indices
    active_runs: Indices
    inactive_runs: Indices
    idle_runs: Indices
    stale_runs: Indices

    @classmethod
    def of(cls, run: Run, activity: NDArray[np.uint8]) -> BlockMask:
        """List what `activity` marks."""
        lists = run.kernels.list_active(*run.size, activity, threads=run.threads)
        active_runs = lists[4]
        idle = np.ones(len(all_runs(*run.size)), bool)
        idle[active_runs] = False
        before, run.planes.active_runs = run.planes.active_runs, active_runs
        return cls._make((activity, *lists, _where(idle), before[idle[before]]))


@lru_cache(maxsize=8)
def all_tiles(height: int, width: int) -> Indices:
    """Return the list of every tile of an image."""
    return np.arange(-(-height // TILE) * -(-width // TILE), dtype=np.int32)


@lru_cache(maxsize=8)
def all_pixels(height: int, width: int) -> Indices:
    """Return the list of every pixel of an image."""
    y, x = np.ogrid[:height, :width]
    return ((y + 1) * padded_size(height, width)[1] + x + 1).astype(np.int32).ravel()


@lru_cache(maxsize=8)
def all_runs(height: int, width: int) -> Indices:
    """Return the list of every run of an image."""
    return np.arange(height * -(-width // RUN), dtype=np.int32)


@lru_cache(maxsize=8)
def paired_runs(height: int, width: int) -> Indices:
    """Return every run of an image of even height, each followed by the one below it."""
    rows = all_runs(height, width).reshape(height // 2, 2, -1)
    return np.ascontiguousarray(rows.transpose(0, 2, 1)).ravel()


def _where(flags: NDArray[np.bool_]) -> Indices:
    return np.flatnonzero(flags).astype(np.int32)
