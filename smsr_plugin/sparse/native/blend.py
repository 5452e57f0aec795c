"""One product at important pixels and another one elsewhere, on the native kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.tile_steps import Blend, LocalAttention
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.active_conv import is_partly_active
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.kernels import BlendSide
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import MaskLists, Run


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

    def __init__(self, step: Blend[Array], summed: int, arithmetic: Arithmetic) -> None:
        """Pack the weights; the first product reads `summed` planes whose sum is meant."""
        rows = arithmetic.row_weights
        elsewhere = [step.substitute.T]
        self.narrow_weights = None
        if step.narrow is not None:
            self.narrow_weights = arithmetic.tile_weights(step.narrow.conv)
            self.slope = step.narrow.slope
            self.narrow_bias = packing.vector(step.narrow.bias)
            elsewhere.append(step.narrow.widen.T)
        self.active = Side([step.weight.T] * summed, step.bias, rows)
        self.inactive = Side(elsewhere, step.substitute_bias, rows)

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
        others = [x]
        if narrow is not None:
            assert self.narrow_weights is not None
            run.kernels.tiles(
                *run.size,
                mask.inactive_tiles,
                x,
                self.narrow_weights,
                narrow,
                bias=self.narrow_bias,
                relu=True,
                slope=self.slope,
                activity_out=mask.activity if is_partly_active(run, mask) else None,
                stored=run.kernels.INACTIVE,
                threads=run.threads,
            )
            others.append(narrow)
        run.kernels.blend(
            run.size,
            mask.activity,
            self.active.of(xs),
            self.inactive.of(others),
            out,
            threads=run.threads,
        )


class Side:
    """A product over the concatenation of planes, at pixels of one kind."""

    def __init__(
        self,
        weights: Sequence[Array],
        bias: Array,
        pack: Callable[[Sequence[Array]], NDArray[Any]],
    ) -> None:
        """Pack the (K, N) weights of each plane."""
        self.channels = [len(weight) for weight in weights]
        self.weights, self.bias = pack(weights), packing.vector(bias)

    def of(self, xs: Sequence[Plane]) -> BlendSide:
        """Return it as the kernels take it, for planes."""
        sources = [(x, count) for x, count in zip(xs, self.channels, strict=True)]
        return sources, self.weights, self.bias
