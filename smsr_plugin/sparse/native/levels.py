"""Which planes of a program are held in bytes, and what a level of them counts."""

from __future__ import annotations

from typing import Any

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import OUT_LEVELS, RELU, X_LEVELS, Fuse, MaskedConv


def units_of(program: Program[Any]) -> dict[str, float]:
    """Return what a level of the planes counts that can hold bytes, by their names.

    They are those that a fuse reads, if each is what a ReLU left, its peak is known, and nobody
    reads it but the fuse and the convolutions that make the others; nor may the fuse add one.
    """
    makers = {step.out: step for step in program.steps if isinstance(step, MaskedConv)}
    units: dict[str, float] = {}
    for fuse in program.steps:
        if (
            isinstance(fuse, Fuse)
            and fuse.add not in fuse.xs
            and all(_can(makers.get(x)) for x in fuse.xs)
        ):
            own = {*fuse.xs, fuse.out}
            readers = [step for step in program.steps if set(step.reads) & set(fuse.xs)]
            if all(step.writes in own for step in readers):
                units |= {x: _peaks(makers[x])[1] / OUT_LEVELS for x in fuse.xs}
    return units


def input_units(program: Program[Any]) -> dict[str, float]:
    """Return what a level counts of the planes that a fuse writes once more, in bytes with a sign.

    They are those that the first convolutions of a block read, if the outputs of all of these are
    in bytes.
    """
    units = units_of(program)
    fused = {step.out for step in program.steps if isinstance(step, Fuse)}
    readers = [step for step in program.steps if isinstance(step, MaskedConv) and step.x in fused]
    others = {step.x for step in readers if step.out not in units}
    return {step.x: _peaks(step)[0] / X_LEVELS for step in readers if step.x not in others}


def levels_name(x: str) -> str:
    """Return the name of the plane that holds another one's levels."""
    return f"/levels {x}"


def _can(maker: MaskedConv[Any] | None) -> bool:
    if maker is None or maker.peaks is None:
        return False
    is_relu = isinstance(maker.slope, float | int) and maker.slope == RELU
    return is_relu and maker.rest is None


def _peaks(step: MaskedConv[Any]) -> tuple[float, float]:
    assert step.peaks is not None
    return step.peaks
