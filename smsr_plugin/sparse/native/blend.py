"""One product at important pixels and another one elsewhere, on the native kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.tile_steps import Blend, LocalAttention
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.kernels import Indices, Source
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import MaskLists, Run

PackTiles = Callable[[Array], NDArray[Any]]
PackRows = Callable[[Sequence[Array]], NDArray[Any]]


class ListedProduct:
    """A 1×1 convolution over the concatenation of planes, at listed pixels."""

    def __init__(self, weights: Sequence[Array], bias: Array, pack: PackRows) -> None:
        """Pack the (K, N) weights of each plane."""
        self.channels = [len(weight) for weight in weights]
        self.weights, self.bias = pack(weights), packing.vector(bias)

    def __call__(self, run: Run, pixels: Indices, xs: Sequence[Plane], out: Plane) -> None:
        sources: list[Source] = [
            (x.values, 0, 0, 0, count, None) for x, count in zip(xs, self.channels, strict=True)
        ]
        run.kernels.rows(
            *run.size,
            pixels,
            sources,
            self.weights,
            out.values,
            bias=self.bias,
            threads=run.threads,
        )


def with_squeezed(step: Blend[Array], attention: LocalAttention[Array]) -> Blend[Array]:
    """Return a blend that also makes what an attention squeezes of it, in lines of its own.

    squeeze · (W·x + b) + s is (squeeze · W) · x + (squeeze · b + s).
    """
    squeeze, shift = attention.squeeze, attention.squeeze_bias
    room = packing.padded(len(step.weight))

    def both(weight: Array, added: Array | float = 0.0) -> Array:
        return np.concatenate([packing.pad(weight, 0, room), squeeze @ weight + added])

    narrow = step.narrow
    return replace(
        step,
        weight=both(step.weight),
        bias=both(step.bias, shift),
        substitute=both(step.substitute),
        substitute_bias=both(step.substitute_bias, shift),
        narrow=None if narrow is None else replace(narrow, widen=both(narrow.widen)),
    )


class NativeBlend:
    """The step `Blend`."""

    def __init__(self, step: Blend[Array], summed: int, tiles: PackTiles, rows: PackRows) -> None:
        """Pack the weights; the first product reads `summed` planes whose sum is meant."""
        self.active = ListedProduct([step.weight.T] * summed, step.bias, rows)
        elsewhere = [step.substitute.T]
        self.narrow_weights = None
        if step.narrow is not None:
            self.narrow_weights, self.slope = tiles(step.narrow.conv), step.narrow.slope
            self.narrow_bias = packing.vector(step.narrow.bias)
            elsewhere.append(step.narrow.widen.T)
        self.inactive = ListedProduct(elsewhere, step.substitute_bias, rows)

    def __call__(
        self,
        run: Run,
        xs: Sequence[Plane],
        x: Plane,
        narrow: Plane | None,
        out: Plane,
        mask: MaskLists,
    ) -> None:
        """Write `out`; `narrow` is overwritten."""
        self.active(run, mask.active, xs, out)
        others = [x]
        if narrow is not None:
            assert self.narrow_weights is not None
            run.kernels.winograd(
                *run.size,
                mask.inactive_tiles,
                x.values,
                self.narrow_weights,
                narrow.values,
                bias=self.narrow_bias,
                relu=True,
                slope=self.slope,
                activity_out=mask.activity,
                stored=run.kernels.INACTIVE,
                threads=run.threads,
            )
            others.append(narrow)
        self.inactive(run, mask.inactive, others, out)
