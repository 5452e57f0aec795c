"""What the operations of native inference share: the image at hand, and lists of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native.kernels import Bytes, Indices, Kernels
from smsr_plugin.sparse.native.planes import TILE, Planes, padded_size, rounded_up

#: Steps (dy, dx) from a pixel to the nine pixels that a 3×3 kernel sees.
NEIGHBOURS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))


@dataclass(frozen=True)
class Run:
    """One image's way through a program.

    Attributes:
        kernels: What computes.
        planes: The scratch memory, sized for the image.
        threads: How many threads the kernels use.
        height: Of the band at hand; None for that of the image.
    """

    kernels: Kernels
    planes: Planes
    threads: int
    height: int | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image, or of the band at hand."""
        return self.height or self.planes.height, self.planes.width

    def of_height(self, height: int) -> Run:
        """Return the same for a band of so many rows."""
        return Run(self.kernels, self.planes, self.threads, height)

    @property
    def pixel_count(self) -> int:
        """How many pixels the image has, or the band."""
        height, width = self.size
        return height * width


class MaskLists(NamedTuple):
    """A spatial mask: pixels by their index in a plane, tiles in reading order.

    Attributes:
        activity: Plane of `ACTIVE` and `INACTIVE`, 0 in the border.
        active, inactive: Pixels.
        active_tiles, inactive_tiles: Tiles with such a pixel; a tile with both is in both.
        whole: Of a band, the lists of its image.
    """

    activity: Bytes
    active: Indices
    inactive: Indices
    active_tiles: Indices
    inactive_tiles: Indices
    whole: MaskLists | None = None

    @classmethod
    def of(cls, run: Run, activity: Bytes) -> MaskLists:
        """List what `activity` marks."""
        return cls(activity, *run.kernels.list_active(*run.size, activity, threads=run.threads))

    @classmethod
    def of_tiles(cls, activity: Bytes, important: NDArray[np.bool_]) -> MaskLists:
        """List whole tiles, (⌈H/4⌉, ⌈W/4⌉), alone, where nobody asks for pixels."""
        nothing = np.empty(0, np.int32)
        flat = important.ravel()
        active, inactive = (np.flatnonzero(marked).astype(np.int32) for marked in (flat, ~flat))
        return cls(activity, nothing, nothing, active, inactive)

    def counts(self, active: bool) -> tuple[int, int]:
        """Return the number of tiles and pixels, active or not, of the whole image.

        By these it is decided how a layer is computed, which must not depend on the band.
        """
        whole = self.whole or self
        tiles = whole.active_tiles if active else whole.inactive_tiles
        return len(tiles), len(whole.active if active else whole.inactive)

    def between(self, start: int, stop: int, width: int) -> MaskLists:
        """Return the pixels and tiles of a band of rows, as of an image.

        Args:
            start, stop: The rows; they begin with a row of tiles.
            width: Of the image.
        """
        stride, columns = padded_size(1, width)[1], -(-width // TILE)
        pixels = (start + 1) * stride, (stop + 1) * stride, start * stride
        first = start // TILE * columns
        tiles = first, -(-stop // TILE) * columns, first
        return MaskLists(
            self.activity[start : start + rounded_up(stop - start, TILE) + 2],
            _part(self.active, *pixels),
            _part(self.inactive, *pixels),
            _part(self.active_tiles, *tiles),
            _part(self.inactive_tiles, *tiles),
            self.whole or self,
        )


def _part(listed: Indices, begin: int, end: int, offset: int) -> Indices:
    """Return what lies in [begin, end) of an ordered list, less an offset."""
    low, high = listed.searchsorted(np.array((begin, end), listed.dtype))  # else it is copied
    return listed[low:high] - np.int32(offset)


@lru_cache(maxsize=8)
def all_tiles(height: int, width: int) -> Indices:
    """Return the list of every tile of an image."""
    return np.arange(-(-height // TILE) * -(-width // TILE), dtype=np.int32)


@lru_cache(maxsize=8)
def all_pixels(height: int, width: int) -> Indices:
    """Return the list of every pixel of an image."""
    y, x = np.ogrid[:height, :width]
    return ((y + 1) * padded_size(height, width)[1] + x + 1).astype(np.int32).ravel()
