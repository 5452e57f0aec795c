"""What the native kernels cannot run of a program."""

from __future__ import annotations

from typing import Any

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import (
    Conv,
    Decide,
    Fuse,
    ImageConv,
    MaskedConv,
    Step,
    Upsample,
    is_leaky,
)
from smsr_plugin.archs.tile_steps import Blend, DecideTiles, LocalAttention
from smsr_plugin.sparse.native.kernels import Kernels
from smsr_plugin.sparse.native.levels import units_of
from smsr_plugin.sparse.native.packing import HALF_LINE


def missing_instructions(kernels: Kernels, precision: str) -> str:
    """Say what the processor, or what of it is used, lacks for a precision, or nothing."""
    if precision == "int8" and not kernels.has_bytes():
        other = "bf16" if kernels.has_half() else "fp32"
        return f"int8 needs matrix tiles (AMX), and {kernels.isa()} has none: take {other}"
    if precision != "fp32" and not kernels.has_half():
        return f"this processor ({kernels.isa()}) has no bfloat16 instructions: take fp32"
    return ""


def obstacle_to(program: Program[Any], kernels: Kernels, precision: str) -> str:
    """Say what keeps a program from the kernels in a precision, or nothing."""
    if missing := missing_instructions(kernels, precision):
        return missing
    if precision == "int8" and not units_of(program):
        if any(map(is_at_tiles, program.steps)):
            return (
                "int8 is for the blocks of an SMSR, and this network has masks at tiles: take the "
                "package's SMSR (--model smsr), or bf16"
            )
        return (
            "no peaks tell what 8 bits have to span in this network: "
            "`smsr convert IN OUT --calibrate DIR` chooses those of an SMSR"
        )
    widest = max(plane.channels for plane in program.planes.values())
    if widest > kernels.MAX_CHANNELS - HALF_LINE:
        return f"a layer has {widest} channels, which are too many"
    return next(filter(None, (_obstacle(program, step) for step in program.steps)), "")


def is_at_tiles(step: Step[Any]) -> bool:
    """Tell whether a step is of the kind that networks with masks at tiles are made of."""
    if isinstance(step, MaskedConv):
        return step.rest is not None or is_leaky(step.slope)
    return isinstance(step, DecideTiles | Blend | LocalAttention)


def _obstacle(program: Program[Any], step: Step[Any]) -> str:
    if isinstance(step, MaskedConv):
        return _masked_obstacle(program, step)
    at_tiles = any(map(is_at_tiles, program.steps))  # their arithmetics have it of the image
    if is_leaky(getattr(step, "slope", None)) and not (at_tiles and isinstance(step, ImageConv)):
        return f"the activation of plane {step.writes!r} is leaky"
    if isinstance(step, Conv) and step.weight.shape[-1] not in (1, 3):
        side = step.weight.shape[-1]
        return f"there is a convolution of {side}×{side} pixels"
    makers = {other.writes: other for other in program.steps}
    if isinstance(step, Fuse) and step.attention is not None:
        others = [x for x in step.xs if not isinstance(makers[x], MaskedConv)]
        if others:
            return f"an attention needs the mean of plane {others[0]!r}, which has no mask"
    if isinstance(step, Decide | Upsample):  # its plane is in float32, whatever the others are in
        maker = makers[step.x]
        readers = [other for other in program.steps if step.x in other.reads]
        if not isinstance(maker, Conv) or maker.add is not None or len(readers) > 1:
            return f"plane {step.x!r} is not that of a convolution alone, or read twice"
    return ""


def _masked_obstacle(program: Program[Any], step: MaskedConv[Any]) -> str:
    """Say what is in the way; planes with a rest have no dense channels."""
    x = program.planes[step.x]
    if not is_at_tiles(step) and not x.rest:
        return ""
    if step.dense or x.dense not in (0, x.channels):
        return f"plane {step.out!r} or {step.x!r} has dense and sparse channels and is no ReLU's"
    return ""
