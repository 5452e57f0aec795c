"""What the steps of a program have in common; see `smsr_plugin.archs.steps`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, Generic, Protocol, TypeVar, cast


class Shaped(Protocol):
    """An array of any library."""

    @property
    def shape(self) -> Sequence[int]: ...


A = TypeVar("A", bound=Shaped)
B = TypeVar("B", bound=Shaped)


class Part(Generic[A]):
    """A dataclass some of whose fields are weights, or other parts with weights."""

    def weights(self) -> Iterator[tuple[str, A]]:
        """Yield each weight and its name."""
        for field in fields(cast(Any, self)):
            value = getattr(self, field.name)
            if isinstance(value, Part):
                yield from ((f"{field.name}_{inner}", weight) for inner, weight in value.weights())
            elif _is_weight(value):
                yield field.name, value

    def with_weights(self, weights: Iterator[B]) -> Any:
        """Return a copy with other weights, taken in the order of `weights()`."""
        changes: dict[str, Any] = {}
        for field in fields(cast(Any, self)):
            value = getattr(self, field.name)
            if isinstance(value, Part):
                changes[field.name] = value.with_weights(weights)
            elif _is_weight(value):
                changes[field.name] = next(weights)
        return replace(cast(Any, self), **changes)


def _is_weight(value: object) -> bool:
    return not isinstance(value, str | int | float | tuple | None)


class StepBase(Part[A]):
    """What all steps tell of themselves.

    Attributes:
        part: What the time of the step is counted as.
        block: The block that it belongs to; None outside of blocks.
        reads: The planes that it reads.
        writes: The plane that it writes, if any.
    """

    part: str

    @property
    def block(self) -> int | None:
        return getattr(self, "mask", None)

    @property
    def reads(self) -> tuple[str, ...]:
        return (cast(Any, self).x,)

    @property
    def writes(self) -> str | None:
        return getattr(self, "out", None)
