"""RLFN's attention on the native kernels; see `smsr_plugin.archs.tile_steps.LocalAttention`.

x · σ(g) is x / (1 + 2^t) with t = −g · log2 e: this factor is in the weights. What is excited is
linear in the coarse map and in a = squeeze · x, and the weights of an interpolation sum to 1. Thus
the coarse map is excited while it is small, biases with it, and at every pixel there is one
product, (excite · mix) · a.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.tile_steps import (
    CONV_SIZE,
    CONV_STRIDE,
    MIN_SIDE,
    POOL_SIZE,
    POOL_STRIDE,
    LocalAttention,
)
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.kernels import BlockAttention, Floats, Resampling, Size
from smsr_plugin.sparse.native.layers import MapConv
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane, padded_size
from smsr_plugin.sparse.native.run import Run, all_pixels


class NativeLocalAttention:
    """The step `LocalAttention`, given a = squeeze · x. Small maps are in float32."""

    def __init__(self, step: LocalAttention[Array], first: int, arithmetic: Arithmetic) -> None:
        """Pack the weights; a lies in its plane from channel `first` on."""
        self.first = first
        self.middle, self.channels = len(step.squeeze), len(step.excite)
        self.reduce = arithmetic.strided_weights(step.reduce, first)
        self.reduce_bias = packing.vector(step.reduce_bias)
        self.refine = MapConv(packing.winograd(step.refine), step.refine_bias)
        excite = -np.log2(np.e) * step.excite
        bias = excite @ step.mix_bias - np.log2(np.e) * step.excite_bias
        self.excite = packing.product(packing.pad(excite.T, 0, packing.padded(self.middle)))
        self.excite_bias = packing.vector(bias)
        self.mixed = arithmetic.attention_weights((excite @ step.mix).T, first)

    def __call__(self, run: Run, x: Plane, squeezed: Plane, out: Plane) -> None:
        """Scale the first channels of `x`, given a plane with a; `out` may be `x`."""
        row, first, weights, size, coarse, down, across = self.told(run, squeezed)
        run.kernels.attend(
            run.size,
            x[: len(out)],
            row,
            weights,
            size,
            coarse,
            down,
            across,
            out,
            first=first,
            threads=run.threads,
        )

    def told(self, run: Run, squeezed: Plane) -> BlockAttention:
        """Return what the kernels take to scale a pixel; see `Kernels.block`."""
        size, coarse = self._coarse(run, squeezed)
        down, across = (resampling(few, many) for few, many in zip(size, run.size, strict=True))
        return squeezed, self.first, self.mixed, size, coarse, down, across

    def _coarse(self, run: Run, squeezed: NDArray[Any]) -> tuple[Size, Floats]:
        """Return the excited coarse map and its size."""
        seen = max(run.size[0], MIN_SIDE), max(run.size[1], MIN_SIDE)
        reduced = _steps(seen, CONV_SIZE, CONV_STRIDE)
        pooled = _steps(reduced, POOL_SIZE, POOL_STRIDE)

        def plane(name: str, size: Size, channels: int) -> Plane:
            return run.planes.plane(f"attention {name}", channels, size=size)

        small = plane("reduced", reduced, self.middle)
        second, third = (plane(name, pooled, self.middle) for name in ("pooled", "refined"))
        excited = plane("excited", pooled, self.channels)
        kernels, threads = run.kernels, run.threads
        a = squeezed
        if seen != run.size:
            a = _continued(squeezed, run.size, seen)
        kernels.strided(
            seen,
            a,
            self.reduce,
            reduced,
            small,
            padding=0,
            first=self.first,
            bias=self.reduce_bias,
            threads=threads,
        )
        kernels.maximum(reduced, small, POOL_SIZE, POOL_STRIDE, pooled, second, threads=threads)
        self.refine(run, second, third, size=pooled)
        kernels.rows(
            *pooled,
            all_pixels(*pooled),
            [(third, 0, 0, 0, packing.padded(self.middle), None)],
            self.excite,
            excited,
            bias=self.excite_bias,
            threads=threads,
        )
        return pooled, excited


def _steps(size: Size, side: int, step: int) -> Size:
    """Return how many squares lie in a map, from top to bottom and across."""
    return (size[0] - side) // step + 1, (size[1] - side) // step + 1


def _continued(a: NDArray[Any], size: Size, larger: Size) -> NDArray[Any]:
    """Return a small map, continued by its last row and column."""
    rows, columns = (np.minimum(np.arange(m), n - 1) + 1 for m, n in zip(larger, size, strict=True))
    out = np.zeros((len(a), *padded_size(*larger), a.shape[-1]), a.dtype)
    out[:, 1 : larger[0] + 1, 1 : larger[1] + 1] = a[:, rows[:, None], columns]
    return out


@lru_cache(maxsize=16)
def resampling(count: int, to: int) -> Resampling:
    """Return how a side of `count` is resampled linearly, as by PyTorch without aligned corners."""
    at = np.maximum((np.arange(to) + 0.5) * count / to - 0.5, 0)
    low = np.minimum(at.astype(np.int32), count - 1)
    return low, np.minimum(low + 1, count - 1), (at - low).astype(np.float32)
