"""Masks that are decided from the lq image at tiles, on the native kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.tile_steps import EVENNESS, LEVELS, TILE, DecideTiles
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.kernels import Bytes, Floats
from smsr_plugin.sparse.native.layers import MapConv
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import Run

#: Ones in the bytes of a row of a tile.
ROW_OF_TILE = 0x01010101


class NativePredictor:
    """What the step `DecideTiles` decides by, in float32."""

    def __init__(self, step: DecideTiles[Array]) -> None:
        self.middle, self.masks = len(step.conv1), len(step.conv3)
        self.first, self.bias1 = packing.taps(step.conv1), packing.vector(step.bias1)
        self.second, self.bias2 = packing.taps(step.conv2), packing.vector(step.bias2)
        self.third = MapConv(packing.winograd(step.conv3), step.bias3)

    def __call__(self, run: Run, lq: Floats, details: Plane) -> NDArray[np.float32]:
        """Return the scores of all tiles, (K, ⌈H/4⌉, ⌈W/4⌉); `details` is overwritten."""
        kernels, threads = run.kernels, run.threads
        half = -(-run.size[0] // 2), -(-run.size[1] // 2)
        tiles = -(-run.size[0] // TILE), -(-run.size[1] // TILE)
        first = run.planes.plane("tiles hidden", self.middle, size=half)
        second = run.planes.plane("tiles hidden2", self.middle, size=tiles)
        scores = run.planes.plane("tiles scores", packing.padded(self.masks), size=tiles)
        kernels.details(lq, LEVELS, details, threads=threads)
        for size, x, weights, out_size, out, bias in (
            (run.size, details, self.first, half, first, self.bias1),
            (half, first, self.second, tiles, second, self.bias2),
        ):
            kernels.strided(
                size,
                x,
                weights,
                out_size,
                out,
                padding=1,
                bias=bias,
                relu=True,
                threads=threads,
            )
        self.third(run, second, scores, size=tiles)
        inside = scores[:, 1 : tiles[0] + 1, 1 : tiles[1] + 1]
        worth = np.moveaxis(inside, -1, 1).reshape(-1, *tiles)[: self.masks]
        return worth - np.float32(EVENNESS * worth.mean(dtype=np.float64))


def mark_tiles(important: NDArray[np.bool_], run: Run, activity: Bytes) -> None:
    """Mark the pixels of important tiles, (⌈H/4⌉, ⌈W/4⌉), as active and the others as inactive."""
    height, width = run.size
    # Four pixels of a row at a time. The plane has room for whole tiles; its border stays zero.
    kinds = np.where(important, run.kernels.ACTIVE, run.kernels.INACTIVE) * ROW_OF_TILE
    stride = activity.strides[0]
    rows = np.ndarray(
        (len(kinds), TILE, kinds.shape[1]),
        np.uint32,
        activity,
        offset=stride + 1,
        strides=(TILE * stride, stride, TILE),
    )
    rows[:] = kinds.astype(np.uint32)[:, None]
    activity[height + 1 :] = 0
    activity[:, width + 1 :] = 0
