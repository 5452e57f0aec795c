"""Scratch memory of native inference: planes of one image, kept and used again."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

#: Winograd's output tile, to which heights are rounded up (see csrc/kernels.h).
TILE = 4
#: Pixels of a row that the bfloat16 kernels compute together; widths are rounded up to it.
RUN = 16
#: Bytes of a cache line. Rows that begin with one are read at twice the rate.
CACHE_LINE = 64


def aligned_zeros(count: int, dtype: type) -> NDArray:
    """Return zeros that begin with a cache line; untouched memory costs nothing."""
    itemsize = np.dtype(dtype).itemsize
    memory = np.zeros(count + CACHE_LINE // itemsize, dtype)
    start = -memory.ctypes.data % CACHE_LINE // itemsize
    return memory[start : start + count]


class Planes:
    """Named planes for images of one size; (lines, rows, stride, channels of a line).

    A line of channels fills a cache line. Pixel (y, x) lies at [:, y + 1, x + 1], inside a border
    of zeros. Memory is asked for zeroed and touched only where something is written, so that
    planes of sparse layers cost what their active pixels need. When the size changes the memory is
    kept, and only the border is cleared.

    Attributes:
        active_runs: Runs at which sparse channels may hold something from a block before.
        dense_lines: By a plane's address, how many of its lines the block before filled everywhere.
    """

    def __init__(self) -> None:
        self.height = self.width = 0
        self.active_runs = np.empty(0, np.int32)
        self.dense_lines: dict[int, int] = {}
        self._memory: dict[str, NDArray] = {}
        self._planes: dict[str, NDArray] = {}

    def resize(self, height: int, width: int) -> None:
        """Prepare for images of another size; contents are lost."""
        if (height, width) != (self.height, self.width):
            self.height, self.width = height, width
            self._planes.clear()
            self.dense_lines.clear()
            if self._memory:  # of another size: it may hold anything anywhere
                self.active_runs = np.arange(height * -(-width // RUN), dtype=np.int32)

    def plane(
        self, name: str, channels: int, dtype: type = np.float32, half: bool = False
    ) -> NDArray:
        """Return a plane; `half` for the half-size planes of the mask predictor."""
        if name not in self._planes:
            height, width = self.height, self.width
            if half:
                height, width = -(-height // 2), -(-width // 2)
            line = CACHE_LINE // np.dtype(dtype).itemsize
            lines = -(-channels // line)
            shape = (lines, *padded_size(height, width), line)
            plane = self._planes[name] = self._make(name, shape, dtype)
            _clear_border(plane, height, width)
        return self._planes[name]

    def activity(self) -> NDArray[np.uint8]:
        """Return the plane, (rows, stride), that says of each pixel whether it is active."""
        if "activity" not in self._planes:
            shape = padded_size(self.height, self.width)
            plane = self._planes["activity"] = self._make("activity", shape, np.uint8)
            _clear_border(plane[None], self.height, self.width)
        return self._planes["activity"]

    def _make(self, name: str, shape: tuple[int, ...], dtype: type) -> NDArray:
        memory = self._memory.get(name)
        if memory is None or memory.size < math.prod(shape) or memory.dtype != dtype:
            memory = self._memory[name] = aligned_zeros(math.prod(shape), dtype)
        return memory[: math.prod(shape)].reshape(shape)


def padded_size(height: int, width: int) -> tuple[int, int]:
    """Return the rows and the stride of a plane."""
    return -(-height // TILE) * TILE + 2, -(-width // RUN) * RUN + 2


def _clear_border(plane: NDArray, height: int, width: int) -> None:
    plane[:, 0] = plane[:, height + 1 :] = 0
    plane[:, :, 0] = plane[:, :, width + 1 :] = 0


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
