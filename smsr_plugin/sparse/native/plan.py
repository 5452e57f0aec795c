"""Whether a layer is cheaper at tiles or at pixels, from one measurement per process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from smsr_plugin.sparse.native.packing import LINE, padded
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import NEIGHBOURS, all_pixels, all_tiles

#: The image that is timed, large enough for a few work items and small enough for the cache.
TIMED_SIZE = (16, 96)
REPEATS = 5


def tiles_are_cheaper(kernels: Any, channels: int, tiles: int, pixels: int) -> bool:
    """Compare a layer's time at `tiles` active tiles with that at `pixels` active pixels."""
    return tiles < pixels * pixel_cost(kernels, padded(channels))


@cache
def pixel_cost(kernels: Any, channels: int) -> float:
    """Measure the cost of a pixel of a layer in units of a tile's, for `channels` padded channels.

    Winograd needs 4 multiplications where direct convolution needs 16, but whole tiles and two
    transforms, whose share depends on the instruction set.
    """
    planes = Planes()
    planes.resize(*TIMED_SIZE)
    x, out = planes.plane("x", channels), planes.plane("out", channels)
    panels = channels // LINE
    tile_weights = np.zeros((36, panels, channels, LINE), np.float32)
    pixel_weights = np.zeros((panels, len(NEIGHBOURS) * channels, LINE), np.float32)
    tiles, pixels = all_tiles(*TIMED_SIZE), all_pixels(*TIMED_SIZE)
    sources = [(x, dy, dx, 0, channels, None) for dy, dx in NEIGHBOURS]
    at_tiles = _fastest(lambda: kernels.winograd(*TIMED_SIZE, tiles, x, tile_weights, out))
    at_pixels = _fastest(lambda: kernels.rows(*TIMED_SIZE, pixels, sources, pixel_weights, out))
    return (at_pixels / len(pixels)) / (at_tiles / len(tiles))


def _fastest(call: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
