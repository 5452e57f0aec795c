"""Masked convolutions at tiles: no dense channels, and constants where they are skipped."""

from __future__ import annotations

from typing import Any

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import Blend, MaskedConv
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.limits import is_at_tiles
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import MaskLists, Run, all_tiles


class ActiveConv:
    """The step `MaskedConv` without dense outputs, at the tiles of a mask.

    Of the input, skipped pixels are read as its constants; the plane itself holds none.
    """

    def __init__(
        self,
        step: MaskedConv[Array],
        rest: Array | None,
        sparse: bool,
        arithmetic: Arithmetic,
    ) -> None:
        """Pack the weights.

        Args:
            step: What is computed.
            rest: The constants of its input.
            sparse: Whether the input exists at important pixels only.
            arithmetic: Of the planes.
        """
        self.weights, self.sparse = arithmetic.tile_weights(step.weight), sparse
        self.activation = packing.activation(step.slope)
        self.bias = None if step.bias is None else packing.vector(step.bias)
        self.rest = None if rest is None else arithmetic.constants(rest)
        self.channels = len(step.weight)

    def __call__(
        self,
        run: Run,
        x: Plane,
        out: Plane,
        mask: MaskLists,
        residual: Plane | None = None,
        sums: bool = False,
    ) -> Array | None:
        """Convolve a plane, add another one after the activation; return each channel's sum."""
        found = run.kernels.tiles(
            *run.size,
            mask.active_tiles,
            x,
            self.weights,
            out,
            bias=self.bias,
            residual=None if residual is None else residual,
            residual_last=True,
            **self.activation,
            activity_in=mask.activity if self.sparse else None,
            rest=self.rest,
            activity_out=mask.activity if is_partly_active(run, mask) else None,
            stored=run.kernels.ACTIVE,
            sums=sums,
            threads=run.threads,
        )
        return found[: self.channels] if sums else None


def is_partly_active(run: Run, mask: MaskLists) -> bool:
    """Tell whether a tile has active and inactive pixels; masks that are given may be so."""
    return len(mask.active_tiles) + len(mask.inactive_tiles) > len(all_tiles(*run.size))


def residuals(program: Program[Any]) -> dict[str, str]:
    """Return what is added to planes where they are made, and not where they are read.

    That is the other plane of a `Blend` that alone reads the output of a masked convolution.
    """
    makers = {step.writes: step for step in program.steps}
    order = [step.writes for step in program.steps]
    readers: dict[str, int] = {}
    for step in program.steps:
        for x in step.reads:
            readers[x] = readers.get(x, 0) + 1
    found: dict[str, str] = {}
    for step in program.steps:
        if isinstance(step, Blend) and len(step.xs) == 2:
            x, hidden = step.xs
            maker, plane = makers[hidden], program.planes[x]
            if (
                isinstance(maker, MaskedConv)
                and is_at_tiles(maker)
                and maker.mask == step.mask
                and maker.rest is None
                and readers[hidden] == 1
                and plane.dense == plane.channels
                and order.index(x) < order.index(hidden)
            ):
                found[hidden] = x
    return found
