"""RLFN's attention on the native kernels; see `smsr_plugin.archs.tile_steps.LocalAttention`.

What is excited is linear in the coarse map and in a = squeeze · x, and the weights of an
interpolation sum to 1. Thus the coarse map is excited while it is small, biases with it, and at
every pixel there is one product, (excite · mix) · a.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from smsr_plugin.archs.tile_steps import (
    CONV_SIZE,
    CONV_STRIDE,
    MIN_SIDE,
    POOL_SIZE,
    POOL_STRIDE,
    LocalAttention,
)
from smsr_plugin.sparse.native import float32, packing
from smsr_plugin.sparse.native.kernels import Floats, Resampling, Size
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import Run, all_pixels


class NativeLocalAttention:
    """The step `LocalAttention`, given a = squeeze · x. Small maps are in float32."""

    def __init__(self, step: LocalAttention[Array]) -> None:
        self.middle, self.channels = len(step.squeeze), len(step.excite)
        self.reduce, self.reduce_bias = packing.taps(step.reduce), packing.vector(step.reduce_bias)
        self.refine = float32.MapConv(step.refine, step.refine_bias)
        self.excite = packing.product(packing.pad(step.excite.T, 0, packing.padded(self.middle)))
        self.excite_bias = packing.vector(step.excite @ step.mix_bias + step.excite_bias)
        self.mixed = packing.product((step.excite @ step.mix).T)

    def __call__(self, run: Run, x: Plane, squeezed: Floats, out: Plane) -> None:
        """Scale the first channels of `x`, given the lines of a; `out` may be `x`."""
        size, coarse = self._coarse(run, squeezed)
        lines = len(out.values)
        run.kernels.attend(
            run.size,
            x.values[:lines],
            squeezed,
            self.mixed,
            size,
            coarse,
            resampling(size[0], run.size[0]),
            resampling(size[1], run.size[1]),
            out.values,
            threads=run.threads,
        )

    def _coarse(self, run: Run, squeezed: Floats) -> tuple[Size, Floats]:
        """Return the excited coarse map and its size."""
        seen = max(run.size[0], MIN_SIDE), max(run.size[1], MIN_SIDE)
        reduced = _steps(seen, CONV_SIZE, CONV_STRIDE)
        pooled = _steps(reduced, POOL_SIZE, POOL_STRIDE)

        def plane(name: str, size: Size, channels: int) -> Plane:
            return run.planes.plane(f"attention {name}", channels, size=size)

        first = plane("reduced", reduced, self.middle)
        second, third = (plane(name, pooled, self.middle) for name in ("pooled", "refined"))
        excited = plane("excited", pooled, self.channels)
        kernels, threads = run.kernels, run.threads
        a = squeezed
        if seen != run.size:
            a = plane("continued", seen, self.middle).values
            _continue(squeezed, run.size, a, seen)
        kernels.strided(
            seen,
            a,
            self.reduce,
            reduced,
            first.values,
            padding=0,
            bias=self.reduce_bias,
            threads=threads,
        )
        kernels.maximum(
            reduced, first.values, POOL_SIZE, POOL_STRIDE, pooled, second.values, threads=threads
        )
        self.refine(run, second, third, size=pooled)
        kernels.rows(
            *pooled,
            all_pixels(*pooled),
            [(third.values, 0, 0, 0, packing.padded(self.middle), None)],
            self.excite,
            excited.values,
            bias=self.excite_bias,
            threads=threads,
        )
        return pooled, excited.values


def _steps(size: Size, side: int, step: int) -> Size:
    """Return how many squares lie in a map, from top to bottom and across."""
    return (size[0] - side) // step + 1, (size[1] - side) // step + 1


def _continue(a: Floats, size: Size, out: Floats, larger: Size) -> None:
    """Copy a map and continue it by its last row and column."""
    rows, columns = (np.minimum(np.arange(m), n - 1) + 1 for m, n in zip(larger, size, strict=True))
    out[:, 1 : larger[0] + 1, 1 : larger[1] + 1] = a[:, rows[:, None], columns]


@lru_cache(maxsize=16)
def resampling(count: int, to: int) -> Resampling:
    """Return how a side of `count` is resampled linearly, as by PyTorch without aligned corners."""
    at = np.maximum((np.arange(to) + 0.5) * count / to - 0.5, 0)
    low = np.minimum(at.astype(np.int32), count - 1)
    return low, np.minimum(low + 1, count - 1), (at - low).astype(np.float32)
