"""Whether a convolution is cheaper at tiles or at pixels, from one measurement per process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native.packing import padded, taps, winograd
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import NEIGHBOURS, all_pixels, all_tiles

#: The image that is timed, large enough for a few work items and small enough for the cache.
TIMED_SIZE = (16, 96)
REPEATS = 5


def tiles_are_cheaper(
    kernels: Any, depth: int, width: int, tiles: NDArray[np.int32], pixels: NDArray[np.int32]
) -> bool:
    """Say where a 3×3 convolution is cheaper: at a list of tiles, or of pixels.

    Args:
        kernels: The module `smsr_plugin._kernels`.
        depth: Input channels.
        width: Output channels.
        tiles: Those that hold one of the pixels.
        pixels: Where the convolution is wanted.
    """
    return len(tiles) < len(pixels) * pixel_cost(kernels, padded(depth), padded(width))


@cache
def pixel_cost(kernels: Any, depth: int, width: int) -> float:
    """Measure the cost of a pixel in units of a tile's, for padded numbers of channels.

    Winograd needs 4 multiplications where direct convolution needs 16, but whole tiles and two
    transforms, whose share depends on the channels and the instruction set.
    """
    planes = Planes()
    planes.resize(*TIMED_SIZE)
    x, out = planes.plane("x", depth), planes.plane("out", width)
    kernel = np.zeros((width, depth, 3, 3))
    tile_weights, pixel_weights = winograd(kernel), taps(kernel)
    tiles, pixels = all_tiles(*TIMED_SIZE), all_pixels(*TIMED_SIZE)
    sources = [(x, dy, dx, 0, depth, None) for dy, dx in NEIGHBOURS]
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
