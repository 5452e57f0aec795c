"""Measures what `smsr_plugin.sparse.native.plan.COSTS` says, on one thread, and fits it.

Run it alone on the machine; it takes about half a minute:

    python scripts/plan_costs.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from smsr_plugin import _kernels as kernels
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import BFLOAT16, BFLOAT16_MATRIX, FLOAT32
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import NEIGHBOURS, all_pixels, all_tiles

#: An image with a few work items whose planes stay in the cache.
SIZE = (16, 96)
INPUTS, OUTPUTS = (1, 2, 3, 4, 6, 8), (1, 2, 3, 4)
REPEATS = 9


def main() -> None:
    for isa in kernels.available():
        for half in (False, True) if kernels.has_half(isa) else (False,):
            sizes = list(product(INPUTS, OUTPUTS))
            times = np.array([seconds(isa, half, k, n) for k, n in sizes]) * 1e9
            fits = [fitted(sizes, times[:, place]) for place in (0, 1)]
            computed = np.stack([terms(sizes) @ fit for fit in fits], 1)
            ratio = (computed[:, 1] / computed[:, 0]) / (times[:, 1] / times[:, 0])
            for place, fit, error in zip(
                ("tile", "pixel"), fits, (computed / times - 1).T, strict=True
            ):
                values = ", ".join(f"{value:.1f}" for value in fit)
                print(f"{isa} {'bf16' if half else 'fp32'} {place}: Cost({values}), "
                      f"errors up to {abs(error).max():.1%}")  # fmt: skip
            print(f"  their ratio: errors up to {abs(ratio - 1).max():.1%}")


def seconds(isa: str, half: bool, k: int, n: int) -> tuple[float, float]:
    """Return the time of a tile and of a pixel, with k and n lines of 16 channels."""
    depth, width = k * packing.LINE, n * packing.LINE
    arithmetic = FLOAT32
    if half:
        arithmetic = BFLOAT16_MATRIX if isa == "amx" else BFLOAT16
    planes = Planes()
    planes.resize(*SIZE)
    x, out = (arithmetic.plane(planes, *named) for named in (("x", depth), ("out", width)))
    kernel = np.zeros((width, depth, 3, 3))
    tile_weights, pixel_weights = arithmetic.tile_weights(kernel), arithmetic.taps(kernel)
    tiles = all_tiles(*SIZE)
    pixels = all_pixels(*SIZE)[::2].copy()  # scattered, as masks leave them
    sources = [(x, dy, dx, 0, depth, None) for dy, dx in NEIGHBOURS]
    how = {"threads": 1, "isa": isa}
    at_tiles = fastest(lambda: kernels.tiles(*SIZE, tiles, x, tile_weights, out, **how))
    at_pixels = fastest(lambda: kernels.rows(*SIZE, pixels, sources, pixel_weights, out, **how))
    return at_tiles / len(tiles), at_pixels / len(pixels)


def fastest(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def terms(sizes: list[tuple[int, int]]) -> NDArray[np.float64]:
    k, n = np.array(sizes, np.float64).T
    return np.stack([np.ones_like(k), k, n, k * n], 1)


def fitted(sizes: list[tuple[int, int]], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the terms' factors, none below 0, with the least relative errors."""
    return nnls(terms(sizes) / times[:, None], np.ones(len(times)))[0]


if __name__ == "__main__":
    main()
