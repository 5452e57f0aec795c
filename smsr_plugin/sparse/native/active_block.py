"""A block of convolutions at tiles and the blend that they end in, in one pass over the image.

One convolution after the other would write whole planes to memory and read them again. The kernel
takes pieces of the image in place of that, and the block's planes are some rows in a cache: see
csrc/block.h. What an attention made of the block's input is computed on the way too, if nobody else
reads it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import Blend, LocalAttention, MaskedConv, Step
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.active_conv import is_partly_active
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.blend import with_squeezed
from smsr_plugin.sparse.native.kernels import BlockAttention, BlockConv, BlockProduct
from smsr_plugin.sparse.native.limits import is_at_tiles
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import TILE, Plane
from smsr_plugin.sparse.native.run import MaskLists, Run

#: The kernel takes no more convolutions in a row.
MOST = 16


class BlockSteps(NamedTuple):
    """The steps of a block.

    Attributes:
        convs: In order; each reads what the one before makes.
        blend: Reads the last one, and the plane that the first one reads.
        attention: Makes that plane; None if somebody else reads it, or something else makes it.
    """

    convs: tuple[MaskedConv[Any], ...]
    blend: Blend[Any]
    attention: LocalAttention[Any] | None

    @property
    def x(self) -> str:
        """The plane that is read."""
        return self.blend.x if self.attention is None else self.attention.x

    @property
    def inside(self) -> set[str]:
        """The planes that are nowhere but in the block."""
        found = {conv.out for conv in self.convs}
        return found if self.attention is None else {*found, self.attention.out}


def blocks(
    program: Program[Any], residuals: dict[str, str], squeezed: set[str]
) -> dict[str, BlockSteps]:
    """Return the blocks of a program, by the planes that their blends make.

    Args:
        program: The program.
        residuals: What is added to masked planes where they are made; see `active_conv`.
        squeezed: Planes together with which their attention's first product is made.
    """
    makers = {step.writes: step for step in program.steps if step.writes is not None}
    readers: dict[str, list[Step[Any]]] = defaultdict(list)
    for step in program.steps:
        for x in step.reads:
            readers[x].append(step)
    found: dict[str, BlockSteps] = {}
    for step in program.steps:
        if not isinstance(step, Blend) or not _joins(step, residuals):
            continue
        convs = _convs_of(step, program, makers, readers)
        plane = program.planes[step.x]
        if convs and plane.dense == plane.channels:
            maker, own = makers[step.x], [convs[0], step]
            folds = isinstance(maker, LocalAttention) and maker.x in squeezed
            if not folds or any(all(reader is not o for o in own) for reader in readers[step.x]):
                maker = None
            assert maker is None or isinstance(maker, LocalAttention)
            found[step.out] = BlockSteps(convs, step, maker)
    return found


def _joins(step: Blend[Any], residuals: dict[str, str]) -> bool:
    """Tell whether a blend takes nothing but the last convolution, and what is added to that."""
    return len(step.xs) == 1 or (len(step.xs) == 2 and residuals.get(step.xs[1]) == step.x)


def _convs_of(
    step: Blend[Any],
    program: Program[Any],
    makers: dict[str, Step[Any]],
    readers: dict[str, list[Step[Any]]],
) -> tuple[MaskedConv[Any], ...]:
    """Return the convolutions from a blend's other plane to it, or nothing."""
    convs: list[MaskedConv[Any]] = []
    name = step.xs[-1]
    while name != step.x:
        maker = makers[name]
        if (
            not isinstance(maker, MaskedConv)
            or maker.mask != step.mask
            or maker.dense
            or not (is_at_tiles(maker) or program.planes[maker.x].rest)
            or len(readers[name]) != 1
            or len(convs) == MOST
        ):
            return ()
        convs.insert(0, maker)
        name = maker.x
    return tuple(convs)


class ActiveBlock:
    """The steps of a block, but for what an attention sees of the whole image."""

    def __init__(
        self, steps: BlockSteps, squeezes: LocalAttention[Array] | None, arithmetic: Arithmetic
    ) -> None:
        """Pack the weights; what `squeezes` takes of the blend is made with it."""
        self.convs: list[BlockConv] = []
        rest = None
        for conv in steps.convs:
            bias = None if conv.bias is None else packing.vector(conv.bias)
            self.convs.append(_packed(arithmetic, conv.weight, bias, rest, conv.slope))
            rest = conv.rest
        blend = steps.blend if squeezes is None else with_squeezed(steps.blend, squeezes)
        self.adds_x = len(blend.xs) == 2
        elsewhere, self.narrow = [blend.substitute.T], None
        if blend.narrow is not None:
            narrow = blend.narrow
            bias = packing.vector(narrow.bias)
            self.narrow = _packed(arithmetic, narrow.conv, bias, None, narrow.slope)
            elsewhere.append(narrow.widen.T)
        self.rows = _ring_rows(steps, arithmetic)
        self.active = _product(arithmetic, [blend.weight.T], blend.bias)
        self.inactive = _product(arithmetic, elsewhere, blend.substitute_bias)

    def __call__(
        self, run: Run, x: Plane, out: Plane, mask: MaskLists, attention: BlockAttention | None
    ) -> None:
        """Write `out`; with an attention, `x` is what that scales."""
        run.kernels.block(
            run.size,
            x,
            self.convs,
            mask.active_tiles,
            mask.inactive_tiles,
            mask.activity,
            self.active,
            self.inactive,
            out,
            adds_x=self.adds_x,
            partly=is_partly_active(run, mask),
            narrow=self.narrow,
            attention=attention,
            threads=run.threads,
        )


def _ring_rows(steps: BlockSteps, arithmetic: Arithmetic) -> int:
    """Return how many rows of lines a thread holds: in rings, with two for the seam of each.

    As `ring_sizes` of csrc/block.cpp has them; narrow images, of several rows of tiles a step, hold
    up to four times as many, of which little comes.
    """
    lag = len(steps.convs) - 1
    rings = [(3 if n < lag else 1, len(conv.weight)) for n, conv in enumerate(steps.convs)]
    if steps.attention is not None:
        rings.append((max(lag, 1) + 3, len(steps.attention.excite)))
    if steps.blend.narrow is not None:
        rings.append((1, len(steps.blend.narrow.conv)))
    line = arithmetic.line
    return sum(-(-channels // line) * (count * TILE + 2) for count, channels in rings)


def _packed(
    arithmetic: Arithmetic, kernel: Array, bias: Any, rest: Array | None, slope: Any
) -> BlockConv:
    act = packing.activation(slope)
    constants = None if rest is None else arithmetic.constants(rest)
    weights = arithmetic.tile_weights(kernel)
    return weights, bias, constants, act["relu"], act["slope"], act["slopes"]


def _product(arithmetic: Arithmetic, weights: list[Array], bias: Array) -> BlockProduct:
    counts = [len(weight) for weight in weights]
    return counts, arithmetic.row_weights(weights), packing.vector(bias)
