"""Scratch memory of native inference: planes of one image, kept and used again."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Winograd's output tile, to which heights are rounded up (see csrc/kernels.h).
TILE = 4
#: Pixels of a row to a matrix tile; widths are rounded up to it.
RUN = 16
#: Bytes of a cache line. Rows that begin with one are read at twice the rate.
CACHE_LINE = 64


def aligned_zeros(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros that begin with a cache line; untouched memory costs nothing."""
    itemsize = np.dtype(dtype).itemsize
    memory = np.zeros(count + CACHE_LINE // itemsize, dtype)
    start = -memory.ctypes.data % CACHE_LINE // itemsize
    return memory[start : start + count]


#: The features of an image: (lines, rows, stride, channels of a line).
Plane: TypeAlias = NDArray[Any]


class Planes:
    """Named planes for images of one size; (lines, rows, stride, channels of a line).

    A line of channels fills a cache line. Pixel (y, x) lies at [:, y + 1, x + 1], inside a border
    of zeros. Memory is asked for zeroed and touched only where something is written, so that
    planes of sparse layers cost what their active pixels need. When the size changes the memory is
    kept, and only the border is cleared.
    """

    def __init__(self) -> None:
        self.height = self.width = 0
        self._memory: dict[str, NDArray[Any]] = {}
        self._planes: dict[tuple[str, int], Plane] = {}

    def resize(self, height: int, width: int) -> None:
        """Prepare for images of another size; contents are lost."""
        if (height, width) != (self.height, self.width):
            self.height, self.width = height, width
            self._planes.clear()

    def plane(
        self,
        name: str,
        channels: int,
        dtype: DTypeLike = np.float32,
        *,
        room: int = 0,
        size: tuple[int, int] | None = None,
    ) -> Plane:
        """Return a plane.

        Args:
            name: Of its memory. Planes of fewer and of more channels may take turns in it.
            channels: Of the plane.
            dtype: float32, uint16 for the bits of bfloat16, or uint8 for levels.
            room: The most channels that the memory will be asked for.
            size: Height and width, where they are not the image's; the name is theirs alone.
        """
        line = CACHE_LINE // np.dtype(dtype).itemsize
        lines = -(-channels // line)
        plane = self._planes.get((name, lines))
        if plane is None:
            height, width = size or (self.height, self.width)
            rows, stride = padded_size(height, width)
            shape = max(lines, -(-room // line)), rows, stride, line
            plane = self._make(name, shape, dtype, height, width)[:lines]
            self._planes[name, lines] = plane
        return plane

    def activity(self, name: str = "activity") -> NDArray[np.uint8]:
        """Return the plane, (rows, stride), that says of each pixel whether it is active."""
        plane = self._planes.get((name, 1))
        if plane is None:
            shape = 1, *padded_size(self.height, self.width)
            plane = self._make(name, shape, np.uint8, self.height, self.width)
            self._planes[name, 1] = plane
        return plane[0]

    def _make(
        self, name: str, shape: tuple[int, ...], dtype: DTypeLike, height: int, width: int
    ) -> NDArray[Any]:
        """Return memory of a shape with a border of zeros, inside which is what was there."""
        memory, size = self._memory.get(name), math.prod(shape)
        if memory is None or memory.size < size or memory.dtype != dtype:
            memory = self._memory[name] = aligned_zeros(size, dtype)
            return memory[:size].reshape(shape)  # to clear its border now would touch all of it
        plane = memory[:size].reshape(shape)
        plane[:, 0] = plane[:, height + 1 :] = 0
        plane[:, :, 0] = plane[:, :, width + 1 :] = 0
        return plane


def rounded_up(count: int, unit: int) -> int:
    """Round a count up to whole units."""
    return -(-count // unit) * unit


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return the rows and the stride of a plane."""
    return rounded_up(height, TILE) + 2, rounded_up(width, RUN) + 2


class PlanePool:
    """Lends `Planes` to one caller at a time, so that several threads can infer at once."""

    def __init__(self) -> None:
        self._idle: list[Planes] = []
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, height: int, width: int) -> Iterator[Planes]:
        """Lend planes for an image of the given size."""
        with self._lock:
            planes = self._idle.pop() if self._idle else Planes()
        planes.resize(height, width)
        yield planes  # after an error the contents are in doubt, and the memory is given up
        with self._lock:
            self._idle.append(planes)
