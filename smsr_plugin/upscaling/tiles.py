"""Cutting an image into overlapping tiles, and blending the results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Tiles begin at multiples of this, so that the mask predictor pools the same pixels together as
#: in the whole image, and the kernels' own tiles fall in the same places.
ALIGNMENT = 4
OVERLAP = 32


@dataclass(frozen=True)
class Span:
    """A tile's extent along one side.

    Attributes:
        start, stop: The pixels it covers.
        before, after: How many of them, at either end, the neighbouring tile covers as well.
    """

    start: int
    stop: int
    before: int
    after: int

    @property
    def covered(self) -> slice:
        """The pixels."""
        return slice(self.start, self.stop)

    @property
    def own(self) -> slice:
        """The pixels up to the middle of each overlap; those of all tiles are the whole side."""
        return slice(self.start + self.before // 2, self.stop - (self.after + 1) // 2)

    @property
    def own_within(self) -> slice:
        """The same pixels, counted from the first of this tile."""
        return slice(self.own.start - self.start, self.own.stop - self.start)

    def scaled(self, scale: int) -> Span:
        """Return the same extent in an image that is larger by `scale`."""
        return Span(*(scale * value for value in (self.start, self.stop, self.before, self.after)))

    def weights(self) -> NDArray[np.float32]:
        """Return the share of this tile in each of its pixels; it rises and falls in overlaps."""
        weights = np.ones(self.stop - self.start, np.float32)
        weights[: self.before] = _ramp(self.before)
        weights[len(weights) - self.after :] = _ramp(self.after)[::-1]
        return weights


def smallest_tile(overlap: int) -> int:
    """Return the least side of tiles of which neighbours overlap by so much."""
    return 2 * _aligned(overlap) + ALIGNMENT


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Return equal extents of at most `tile` pixels that cover `length`, each over the next.

    Args:
        length: Of the image's side.
        tile: The largest extent, from `smallest_tile(overlap)`.
        overlap: Pixels that neighbours share.
    """
    if length <= tile:
        return [Span(0, length, 0, 0)]
    step = (tile - overlap) // ALIGNMENT * ALIGNMENT
    count = -(-(length - overlap) // step)
    # Of all steps that need as many tiles, the shortest, so that the last one is not a sliver; but
    # no pixel may lie in three of them.
    step = _aligned(max(-(-(length - overlap) // count), overlap))
    starts = range(0, length - overlap, step)
    return [
        Span(
            start,
            min(start + step + overlap, length),
            before=overlap if start else 0,
            after=overlap if start != starts[-1] else 0,
        )
        for start in starts
    ]


def grid(height: int, width: int, tile: int, overlap: int) -> Iterator[tuple[Span, Span]]:
    """Yield the rows and columns of each tile."""
    columns = spans(width, tile, overlap)
    for rows in spans(height, tile, overlap):
        for column in columns:
            yield rows, column


def _aligned(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def _ramp(length: int) -> NDArray[np.float32]:
    return ((np.arange(length) + 0.5) / max(length, 1)).astype(np.float32)
