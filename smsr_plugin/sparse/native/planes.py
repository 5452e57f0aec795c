"""Scratch memory of native inference: planes of one image, kept and used again."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

#: Winograd's output tile; heights and widths are rounded up to it (see csrc/kernels.h).
TILE = 4


#: Bytes of a cache line. Rows that begin with one are read at twice the rate.
CACHE_LINE = 64


def aligned_zeros(count: int, dtype: type) -> NDArray:
    """Return zeros that begin with a cache line; untouched memory costs nothing."""
    itemsize = np.dtype(dtype).itemsize
    memory = np.zeros(count + CACHE_LINE // itemsize, dtype)
    start = -memory.ctypes.data % CACHE_LINE // itemsize
    return memory[start : start + count]


class Planes:
    """Named planes for images of one size; (rows, stride, channels) with a border of zeros.

    Pixel (y, x) lies at [y + 1, x + 1]. Memory is asked for zeroed and touched only where
    something is written, so that planes of sparse layers cost what their active pixels need. When
    the size changes the memory is kept, and only the border is cleared.
    """

    def __init__(self) -> None:
        self.height = self.width = 0
        self._memory: dict[str, NDArray] = {}
        self._planes: dict[str, NDArray] = {}

    def resize(self, height: int, width: int) -> None:
        """Prepare for images of another size; contents are lost."""
        if (height, width) != (self.height, self.width):
            self.height, self.width = height, width
            self._planes.clear()

    def plane(
        self, name: str, channels: int, dtype: type = np.float32, half: bool = False
    ) -> NDArray:
        """Return a plane; `half` for the half-size planes of the mask predictor."""
        if name not in self._planes:
            height, width = self.height, self.width
            if half:
                height, width = -(-height // 2), -(-width // 2)
            self._planes[name] = self._make(name, height, width, channels, dtype)
        return self._planes[name]

    def _make(self, name: str, height: int, width: int, channels: int, dtype: type) -> NDArray:
        shape = (-(-height // TILE) * TILE + 2, -(-width // TILE) * TILE + 2, channels)
        memory = self._memory.get(name)
        if memory is None or memory.size < math.prod(shape) or memory.dtype != dtype:
            memory = self._memory[name] = aligned_zeros(math.prod(shape), dtype)
        plane = memory[: math.prod(shape)].reshape(shape)
        plane[0] = plane[height + 1 :] = 0
        plane[:, 0] = plane[:, width + 1 :] = 0
        return plane


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
