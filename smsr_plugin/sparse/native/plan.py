"""Whether a convolution is cheaper at tiles or at pixels, from one measurement per process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import NEIGHBOURS, all_pixels, all_tiles

#: The image that is timed, large enough for a few work items and small enough for the cache.
TIMED_SIZE = (16, 96)
REPEATS = 5


def tiles_are_cheaper(
    kernels: Any, weights: NDArray, tiles: NDArray[np.int32], pixels: NDArray[np.int32]
) -> bool:
    """Say where a 3×3 convolution is cheaper: at a list of tiles, or of pixels.

    Args:
        kernels: The module `smsr_plugin._kernels`.
        weights: Those of the tiles, (36, N / 16, K, 16), or (36, N / 16, K / 2, 16, 2) in bfloat16.
        tiles: Those that hold one of the pixels.
        pixels: Where the convolution is wanted; in float32.
    """
    return len(tiles) < len(pixels) * pixel_cost(kernels, weights.shape, weights.dtype)


@cache
def pixel_cost(kernels: Any, shape: tuple[int, ...], dtype: np.dtype) -> float:
    """Measure the cost of a pixel in units of a tile's, given the shape of the tiles' weights.

    Winograd needs 4 multiplications where direct convolution needs 16, but whole tiles and two
    transforms, whose share depends on the channels and the instruction set.
    """
    width = shape[1] * packing.LINE
    depth = shape[2] * (2 if len(shape) == 5 else 1)
    planes = Planes()
    planes.resize(*TIMED_SIZE)
    x, out = planes.plane("x", depth), planes.plane("out", width)
    tile_weights = np.zeros(shape, dtype)
    pixel_weights = packing.taps(np.zeros((width, depth, 3, 3)))
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
