"""Cutting large images into overlapping sub-images, on BasicSR's grid.

Small sub-images load much faster than whole photographs of which one patch is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """Where to cut, in pixels.

    Attributes:
        crop_size: Height and width of a sub-image.
        step: Distance from one to the next.
        thresh_size: A remainder at the right or bottom of more than this many pixels gets one
            more sub-image, moved back to end at the border.
    """

    crop_size: int
    step: int
    thresh_size: int = 0

    def __post_init__(self) -> None:
        if self.crop_size < 1 or self.step < 1 or self.thresh_size < 0:
            raise ValueError(
                "crop_size and step must be at least 1 and thresh_size at least 0, got "
                f"{self.crop_size}, {self.step} and {self.thresh_size}"
            )

    def shrunk(self, scale: int) -> Grid:
        """Return the same grid on an image smaller by the scale.

        Raises:
            ValueError: If crop_size or step is not a multiple of the scale.
        """
        for name in ("crop_size", "step"):
            if getattr(self, name) % scale:
                raise ValueError(f"{name} {getattr(self, name)} is not a multiple of scale {scale}")
        # Multiples of the scale exceed thresh_size exactly when they exceed it rounded down.
        return Grid(self.crop_size // scale, self.step // scale, self.thresh_size // scale)

    def starts(self, length: int) -> list[int]:
        """Return the first rows (or columns) of the sub-images along a side of that length.

        Raises:
            ValueError: If the side is shorter than crop_size.
        """
        if length < self.crop_size:
            raise ValueError(f"a side of {length} is shorter than crop_size {self.crop_size}")
        last = length - self.crop_size
        starts = list(range(0, last + 1, self.step))
        if last - starts[-1] > self.thresh_size:
            starts.append(last)
        return starts

    def count(self, height: int, width: int) -> int:
        """Return how many sub-images an image of that size gives."""
        return len(self.starts(height)) * len(self.starts(width))

    def cut(self, image: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """Yield the sub-images (crop_size, crop_size, …) of an image (H, W, …), row by row."""
        for top in self.starts(image.shape[0]):
            for left in self.starts(image.shape[1]):
                yield image[top : top + self.crop_size, left : left + self.crop_size]
