"""What the operations of native inference share: the image at hand, and lists of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native.kernels import Bytes, Indices, Kernels
from smsr_plugin.sparse.native.planes import RUN, TILE, Planes, padded_size

#: Steps (dy, dx) from a pixel to the nine pixels that a 3×3 kernel sees.
NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))


@dataclass(frozen=True)
class Run:
    """One image's way through a program.

    Attributes:
        kernels: What computes.
        planes: The scratch memory, sized for the image.
        threads: How many threads the kernels use.
    """

    kernels: Kernels
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


class MaskLists(NamedTuple):
    """A spatial mask: pixels by their index in a plane, tiles and runs in reading order.

    Attributes:
        activity: Plane of `ACTIVE` and `INACTIVE`, 0 in the border.
        active, inactive: Pixels.
        active_tiles, inactive_tiles: Tiles with such a pixel; a tile with both is in both.
        active_runs, inactive_runs: Runs likewise.
        is_idle: Of every run, whether it has no active pixel.
    """

    activity: Bytes
    active: Indices
    inactive: Indices
    active_tiles: Indices
    inactive_tiles: Indices
    active_runs: Indices
    inactive_runs: Indices
    is_idle: NDArray[np.bool_]

    @classmethod
    def of(cls, run: Run, activity: Bytes) -> MaskLists:
        """List what `activity` marks."""
        lists = run.kernels.list_active(*run.size, activity, threads=run.threads)
        is_idle = np.ones(len(all_runs(*run.size)), bool)
        is_idle[lists[4]] = False
        return cls(activity, *lists, is_idle)

    @classmethod
    def of_tiles(cls, activity: Bytes, important: NDArray[np.bool_]) -> MaskLists:
        """List whole tiles, (⌈H/4⌉, ⌈W/4⌉), alone, where nobody asks for pixels or runs."""
        nothing = np.empty(0, np.int32)
        flat = important.ravel()
        active, inactive = (np.flatnonzero(marked).astype(np.int32) for marked in (flat, ~flat))
        return cls(
            activity, nothing, nothing, active, inactive, nothing, nothing, np.empty(0, np.bool_)
        )

    @property
    def idle_runs(self) -> Indices:
        """Runs without an active pixel."""
        return np.flatnonzero(self.is_idle).astype(np.int32)


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
