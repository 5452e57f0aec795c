"""A program: what a network with masks computes in evaluation, as a short list of steps on planes.

A network's own file makes its program; `smsr_plugin.sparse` runs it and `smsr_plugin.complexity`
counts it, and neither knows the network. What must fit together in its steps is checked when it is
made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic

from smsr_plugin.archs.step import A, B
from smsr_plugin.archs.steps import (
    Blend,
    Collect,
    Conv,
    Decide,
    DecideTiles,
    Fuse,
    Hourglass,
    ImageConv,
    LocalAttention,
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
        rest: Whether the others are something other than zero where they are not computed.
    """

    channels: int
    dense: int
    mask: int | None
    rest: bool = False


class _Checker:
    """Walks through a program and notes what is there.

    Args:
        num_in_ch: Channels of the lq image.
        residual: Channels of the plane that the last step shuffles to sr.
        num_masks: How many masks must be decided.
    """

    def __init__(self, num_in_ch: int, residual: int, num_masks: int) -> None:
        self.num_in_ch, self.residual, self.num_masks = num_in_ch, residual, num_masks
        self.known: dict[str, Plane] = {}
        self.decided: set[int] = set()

    def planes(self, steps: Sequence[Step[Any]]) -> dict[str, Plane]:
        """Return the planes that steps write, by name; ProgramError if the steps do not fit."""
        for number, step in enumerate(steps):
            try:
                self._step(step)
            except ProgramError as error:
                raise ProgramError(f"step {number}, {type(step).__name__}: {error}") from None
        last = steps[-1] if steps else None
        if not isinstance(last, Upsample):
            raise ProgramError("the last step must be an Upsample")
        if self.decided != set(range(self.num_masks)):
            raise ProgramError(
                f"expected masks 0…{self.num_masks - 1} to be decided, got {sorted(self.decided)}"
            )
        return self.known

    def _step(self, step: Step[Any]) -> None:
        for name in step.reads:
            if name not in self.known:
                raise ProgramError(f"reads plane {name!r}, which nothing has written")
        if isinstance(step, ImageConv):
            self._shape(step.weight, (None, self.num_in_ch + 1, 3, 3))
            self._slope(step)
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
        elif isinstance(step, DecideTiles):
            self._tiles(step)
        elif isinstance(step, Blend):
            self._blend(step)
        elif isinstance(step, LocalAttention):
            self._local_attention(step)
        elif isinstance(step, Fuse):
            for x in step.xs:
                self._of_mask(x, step.mask)
                if self.known[x].rest:
                    raise ProgramError(f"reads plane {x!r}, which is not zero where it is skipped")
            self._shape(step.weight, (None, self._sum(step.xs)))
            self._added(step)
            self._write(step.out, step)
        elif isinstance(step, Collect):
            for x in step.xs:
                self._dense(x)
            self._shape(step.weight, (None, self._sum(step.xs)))
            self._write(step.out, step)
        else:
            self._channels(step.x, self.residual)

    def _decide(self, mask: int) -> None:
        if mask in self.decided or not 0 <= mask < self.num_masks:
            raise ProgramError(f"mask {mask} is decided already, or none of the program's")
        self.decided.add(mask)

    def _tiles(self, step: DecideTiles[Any]) -> None:
        for mask in step.masks:
            self._decide(mask)
        middle = step.conv1.shape[0]
        self._convolution(step.conv1, step.bias1, None, 2 * self.num_in_ch + 1)
        self._convolution(step.conv2, step.bias2, middle, middle)
        self._convolution(step.conv3, step.bias3, len(step.masks), middle)

    def _blend(self, step: Blend[Any]) -> None:
        channels = self.known[step.xs[0]].channels
        for x in step.xs:
            self._of_mask(x, step.mask)
            if self.known[x].channels != channels:
                raise ProgramError(f"expected {channels} channels in plane {x!r}")
        outputs, inputs = step.weight.shape[0], self._dense(step.x)
        self._shape(step.weight, (outputs, channels))
        self._shape(step.substitute, (outputs, inputs))
        self._shape(step.substitute_bias, (outputs,))
        if step.narrow is not None:
            self._convolution(step.narrow.conv, step.narrow.bias, None, inputs)
            self._shape(step.narrow.widen, (outputs, step.narrow.conv.shape[0]))
        self._write(step.out, step)

    def _local_attention(self, step: LocalAttention[Any]) -> None:
        channels, middle = self._dense(step.x), step.squeeze.shape[0]
        self._shape(step.squeeze, (middle, channels))
        self._shape(step.squeeze_bias, (middle,))
        self._convolution(step.reduce, step.reduce_bias, middle, middle)
        self._convolution(step.refine, step.refine_bias, middle, middle)
        self._shape(step.mix, (middle, middle))
        self._shape(step.mix_bias, (middle,))
        self._shape(step.excite, (channels, middle))
        self._shape(step.excite_bias, (channels,))
        self._put(step.out, Plane(channels, channels, None))

    def _convolution(self, weight: Any, bias: Any, outputs: int | None, inputs: int) -> None:
        self._shape(weight, (outputs, inputs, 3, 3))
        self._shape(bias, (weight.shape[0],))

    def _decision(self, step: Hourglass[Any] | Decide[Any]) -> None:
        self._decide(step.mask)
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
        self._slope(step)
        if not 0 <= step.dense <= channels:
            raise ProgramError(f"expected dense in 0…{channels}, got {step.dense}")
        mask = step.mask if step.dense < channels else None
        if step.rest is not None:
            self._shape(step.rest, (channels - step.dense,))
        self._put(step.out, Plane(channels, step.dense, mask, step.rest is not None))

    def _slope(self, step: ImageConv[Any] | MaskedConv[Any]) -> None:
        if not isinstance(step.slope, float | int | None):
            self._shape(step.slope, (step.weight.shape[0],))

    def _added(self, step: Conv[Any] | Fuse[Any]) -> None:
        if step.add is not None:
            self._channels(step.add, step.weight.shape[0])

    def _write(
        self, name: str, step: ImageConv[Any] | Conv[Any] | Blend[Any] | Fuse[Any] | Collect[Any]
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
        residual = self.num_out_ch * self.upscale**2
        return _Checker(self.num_in_ch, residual, self.num_masks).planes(self.steps)

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
