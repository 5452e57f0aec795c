"""A program: what a network with masks computes in evaluation, as a short list of steps on planes.

A network's own file makes its program; `smsr_plugin.sparse` runs it and `smsr_plugin.complexity`
counts it, and neither knows the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic

from smsr_plugin.archs.steps import (
    A,
    B,
    Collect,
    Conv,
    Decide,
    Fuse,
    Hourglass,
    ImageConv,
    MaskedConv,
    Step,
    Upsample,
)


class ProgramError(ValueError):
    """The steps of a program do not fit together."""


@dataclass(frozen=True)
class Plane:
    """What is known of a plane before it is computed.

    Attributes:
        channels: How many it has.
        dense: How many of them exist at every pixel.
        mask: Of the others; None where all are dense.
    """

    channels: int
    dense: int
    mask: int | None


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
        return _Checker(self).planes()

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
        changed = iter([function(name, weight) for name, weight in self.weights()])
        steps: tuple[Any, ...] = tuple(step.with_weights(changed) for step in self.steps)
        return replace(self, steps=steps)  # pyright: ignore[reportReturnType]

    def masked_convs(self, mask: int) -> list[MaskedConv[A]]:
        """Return the masked convolutions of a mask, in order."""
        return [step for step in self.steps if isinstance(step, MaskedConv) and step.mask == mask]


class _Checker:
    """Walks through a program and notes what is there."""

    def __init__(self, program: Program[Any]) -> None:
        self.program = program
        self.known: dict[str, Plane] = {}
        self.decided: set[int] = set()

    def planes(self) -> dict[str, Plane]:
        program = self.program
        for number, step in enumerate(program.steps):
            try:
                self._step(step)
            except ProgramError as error:
                raise ProgramError(f"step {number}, {type(step).__name__}: {error}") from None
        last = program.steps[-1] if program.steps else None
        if not isinstance(last, Upsample):
            raise ProgramError("the last step must be an Upsample")
        if self.decided != set(range(program.num_masks)):
            raise ProgramError(
                f"expected masks 0…{program.num_masks - 1} to be decided, "
                f"got {sorted(self.decided)}"
            )
        return self.known

    def _step(self, step: Step[Any]) -> None:
        for name in step.reads:
            if name not in self.known:
                raise ProgramError(f"reads plane {name!r}, which nothing has written")
        if isinstance(step, ImageConv):
            self._shape(step.weight, (None, self.program.num_in_ch + 1, 3, 3))
            self._write(step.out, step)
        elif isinstance(step, Conv):
            side = step.weight.shape[-1]
            self._shape(step.weight, (None, self._dense(step.xs[0]), side, side))
            for x in step.xs[1:]:
                self._channels(x, self._dense(step.xs[0]))
            self._added(step)
            self._write(step.out, step)
        elif isinstance(step, Hourglass | Decide):
            self._decision(step)
        elif isinstance(step, MaskedConv):
            self._masked_conv(step)
        elif isinstance(step, Fuse):
            for x in step.xs:
                self._of_mask(x, step.mask)
            self._shape(step.weight, (None, self._sum(step.xs)))
            self._added(step)
            self._write(step.out, step)
        elif isinstance(step, Collect):
            for x in step.xs:
                self._dense(x)
            self._shape(step.weight, (None, self._sum(step.xs)))
            self._write(step.out, step)
        else:
            self._channels(step.x, self.program.num_out_ch * self.program.upscale**2)

    def _decision(self, step: Hourglass[Any] | Decide[Any]) -> None:
        if step.mask in self.decided or not 0 <= step.mask < self.program.num_masks:
            raise ProgramError(f"mask {step.mask} is decided already, or none of the program's")
        self.decided.add(step.mask)
        if isinstance(step, Decide):
            self._channels(step.x, 1)
            return
        middle = step.conv1.shape[0]
        self._shape(step.conv1, (None, self._dense(step.x), 3, 3))
        self._shape(step.conv2, (middle, middle, 3, 3))
        self._shape(step.deconv, (middle, 1, 3, 3))

    def _masked_conv(self, step: MaskedConv[Any]) -> None:
        self._of_mask(step.x, step.mask)
        self._shape(step.weight, (None, self.known[step.x].channels, 3, 3))
        channels = step.weight.shape[0]
        if not 0 <= step.dense <= channels:
            raise ProgramError(f"expected dense in 0…{channels}, got {step.dense}")
        mask = step.mask if step.dense < channels else None
        self._put(step.out, Plane(channels, step.dense, mask))

    def _added(self, step: Conv[Any] | Fuse[Any]) -> None:
        if step.add is not None:
            self._channels(step.add, step.weight.shape[0])

    def _write(
        self, name: str, step: ImageConv[Any] | Conv[Any] | Fuse[Any] | Collect[Any]
    ) -> None:
        channels = step.weight.shape[0]
        self._shape(step.bias, (channels,))
        self._put(name, Plane(channels, channels, None))

    def _put(self, name: str, plane: Plane) -> None:
        if name in self.known:
            raise ProgramError(f"writes plane {name!r}, which was written before")
        self.known[name] = plane

    def _dense(self, name: str) -> int:
        """Return the channels of a plane that must be dense."""
        plane = self.known[name]
        if plane.mask is not None:
            raise ProgramError(f"reads plane {name!r} at every pixel, and some channels are sparse")
        return plane.channels

    def _of_mask(self, name: str, mask: int) -> None:
        if mask not in self.decided:
            raise ProgramError(f"mask {mask} is not decided yet")
        if self.known[name].mask not in (None, mask):
            raise ProgramError(f"reads plane {name!r}, which is of mask {self.known[name].mask}")

    def _sum(self, names: tuple[str, ...]) -> int:
        return sum(self.known[name].channels for name in names)

    def _channels(self, name: str, expected: int) -> None:
        if self._dense(name) != expected:
            raise ProgramError(
                f"expected {expected} channels in plane {name!r}, got {self.known[name].channels}"
            )

    @staticmethod
    def _shape(weight: Any, expected: tuple[int | None, ...]) -> None:
        shape = tuple(weight.shape)
        fits = len(shape) == len(expected) and all(
            size in (None, found) for size, found in zip(expected, shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("N" if size is None else str(size) for size in expected)
            raise ProgramError(f"expected a weight of shape ({wanted}), got {shape}")
