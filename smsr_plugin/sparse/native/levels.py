"""Which planes of a program can be held in bytes, and what a level of them counts."""

from __future__ import annotations

from typing import Any

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import RELU, Fuse, MaskedConv
from smsr_plugin.sparse.native.packing import LEVELS


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
                units |= {x: _peak(makers[x]) / LEVELS for x in fuse.xs}
    return units


def _can(maker: MaskedConv[Any] | None) -> bool:
    if maker is None or maker.peaks is None:
        return False
    is_relu = isinstance(maker.slope, float | int) and maker.slope == RELU
    return is_relu and maker.rest is None


def _peak(maker: MaskedConv[Any]) -> float:
    assert maker.peaks is not None
    return maker.peaks.out
