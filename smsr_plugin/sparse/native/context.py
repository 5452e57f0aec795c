"""What the steps of a program need to know of the whole, to be made ready for the kernels."""

from __future__ import annotations

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import Blend, Decide, LocalAttention, MaskedConv, Upsample
from smsr_plugin.sparse.native.active_block import blocks
from smsr_plugin.sparse.native.active_conv import residuals
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.bands import Layer
from smsr_plugin.sparse.native.chains import chains
from smsr_plugin.sparse.native.layers import Fuse
from smsr_plugin.sparse.native.levels import input_units, levels_name, units_of
from smsr_plugin.sparse.native.operation import (
    ACTIVITY,
    BYTES,
    FEATURES,
    FLOATS,
    LEVELS,
    MASKED,
    activity_name,
)
from smsr_plugin.sparse.native.packing import Array, padded
from smsr_plugin.sparse.native.slots import Wanted


class Context:
    """A program and its arithmetic.

    Attributes:
        links: What fuses add up for a `Collect`; see `chains`.
        summed: The planes of those sums.
        units, input_units: What a level of the planes counts that hold bytes, and of those that
            are written once more in bytes with a sign; see `levels`.
        rests: The constants of planes where they are skipped.
        residuals: What is added to masked planes where they are made; see `active_conv`.
        blocks: Steps that are computed together; see `active_block`.
        squeezed: The attentions that read blends, by the planes of these: what they squeeze lies in
            the lines behind.
    """

    def __init__(self, program: Program[Array], arithmetic: Arithmetic) -> None:
        self.program, self.arithmetic = program, arithmetic
        self.links = chains(program, arithmetic)
        self.summed = {link.out for link in self.links.values()}
        masked = [step for step in program.steps if isinstance(step, MaskedConv)]
        self.units = units_of(program) if arithmetic.holds_bytes else {}
        self.input_units = input_units(program) if arithmetic.holds_bytes else {}
        self.rests = {step.out: step.rest for step in masked}
        self.residuals = residuals(program)
        blends = {step.out for step in program.steps if isinstance(step, Blend)}
        self.squeezed = {
            step.x: step
            for step in program.steps
            if isinstance(step, LocalAttention) and step.x in blends
        }
        self.blocks = blocks(program, self.residuals, set(self.squeezed))
        #: What computes masked convolutions and fuses, by the planes that they make.
        self.layers: dict[str, Layer] = {}
        self.fuses: dict[str, Fuse] = {}
        #: Planes that are in float32 in any arithmetic.
        self._floats = {s.x for s in program.steps if isinstance(s, Decide | Upsample)}
        self._masked = {step.out for step in masked}

    def wanted(self, name: str) -> Wanted:
        """Return what a plane of the program needs."""
        kind = MASKED if name in self._masked else FLOATS if name in self._floats else FEATURES
        if name in self.units:
            kind = BYTES
        channels = self.program.planes[name].channels
        if name in self.squeezed:
            channels = padded(channels) + len(self.squeezed[name].squeeze)
        return Wanted(name, channels, kind)

    def read_by_products(self, x: str) -> str:
        """Return the plane that products read in place of one: its levels, if there are any."""
        return levels_name(x) if x in self.input_units else x

    def unit(self, x: str) -> float | None:
        """Return what a level counts of what products read in place of a plane."""
        return self.input_units.get(x, self.units.get(x))

    def levels(self, out: str) -> tuple[Wanted, float] | None:
        """Return the plane of levels that a fuse writes beside its output, and how many are 1."""
        if out not in self.input_units:
            return None
        channels = self.program.planes[out].channels
        return Wanted(levels_name(out), channels, LEVELS), 1 / self.input_units[out]

    def activity(self, mask: int) -> Wanted:
        """Return what the activity of a mask needs."""
        return Wanted(activity_name(mask), 1, ACTIVITY)
