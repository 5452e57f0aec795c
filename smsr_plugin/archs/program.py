"""A program: what a network with masks computes in evaluation, as a short list of steps on planes.

A network's own file makes its program; `smsr_plugin.sparse` runs it and `smsr_plugin.complexity`
counts it, and neither knows the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic

from smsr_plugin.archs.program_checks import Plane, ProgramError, check
from smsr_plugin.archs.step import A, B
from smsr_plugin.archs.steps import MaskedConv, Step

__all__ = ["Plane", "Program", "ProgramError"]


@dataclass(frozen=True)
class Program(Generic[A]):
    """What a network computes of an image.

    Attributes:
        num_in_ch, num_out_ch: Channels of the lq image and of sr.
        upscale: How many times sr is larger.
        num_masks: K.
        steps: In order; the last one makes sr.

    Raises:
        ProgramError: If the steps do not fit together.
    """

    num_in_ch: int
    num_out_ch: int
    upscale: int
    num_masks: int
    steps: tuple[Step[A], ...]

    def __post_init__(self) -> None:
        _ = self.planes

    @cached_property
    def planes(self) -> dict[str, Plane]:
        """The planes that the steps write, by name."""
        return check(self.steps, self.num_in_ch, self.num_out_ch * self.upscale**2, self.num_masks)

    @cached_property
    def last_reads(self) -> dict[str, int]:
        """The number of the last step that reads a plane, for each plane that is read."""
        return {name: number for number, step in enumerate(self.steps) for name in step.reads}

    def weights(self) -> Iterator[tuple[str, A]]:
        """Yield each weight and its name, in order."""
        for number, step in enumerate(self.steps):
            for name, weight in step.weights():
                yield f"{number}_{type(step).__name__}_{name}", weight

    def map(self, function: Callable[[str, A], B]) -> Program[B]:
        """Return a program with `function` of each weight's name and value in its place."""
        return self.with_weights([function(name, weight) for name, weight in self.weights()])

    def with_weights(self, weights: Iterable[B]) -> Program[B]:
        """Return a program with other weights, in the order of `weights`."""
        others = iter(weights)
        steps: tuple[Any, ...] = tuple(step.with_weights(others) for step in self.steps)
        return replace(self, steps=steps)  # pyright: ignore[reportReturnType]

    def masked_convs(self, mask: int) -> list[MaskedConv[A]]:
        """Return the masked convolutions of a mask, in order."""
        return [step for step in self.steps if isinstance(step, MaskedConv) and step.mask == mask]
