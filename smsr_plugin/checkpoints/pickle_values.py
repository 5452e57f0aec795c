"""The values of a pickle, as far as they matter, and how much of them there may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from smsr_plugin.checkpoints.errors import CheckpointError
from smsr_plugin.names import first_line


class Limits(NamedTuple):
    """How much one pickle may hold."""

    opcodes: int = 2_000_000  #: About 45 for each tensor.
    depth: int = 32  #: Containers inside each other.
    #: Values, where one that is referred to several times counts each time, and as many again that
    #: calls are given.
    values: int = 4_000_000
    text: int = 1 << 20  #: Bytes of a string, or of whatever an opcode claims at once.
    dims: int = 64  #: Of a tensor; PyTorch's own limit.


class Kind(Enum):
    """What a value is; the names are those that errors show."""

    MARK = auto()
    NUMBER = auto()  #: Also None and the truth values.
    TEXT = auto()
    TUPLE = auto()
    LIST = auto()
    DICT = auto()
    ORDERED_DICT = auto()
    GLOBAL = auto()
    STORAGE = auto()
    TENSOR = auto()


#: Largest key that is a number: an index of a parameter, an iteration.
MAX_INDEX = 2**31 - 1


@dataclass(slots=True)
class Value:
    """A value that the pickle would build.

    Attributes:
        kind: What it is.
        content: A number, a text, the name of a global; of a storage the bytes of an element.
        items: Of a tuple or list its values; of a dict its keys.
        weight: How many values it is: itself and all below it, as often as they are referred to.
        nbytes: Bytes of the storage or tensor, or of those below, counted in the same way.
        depth: Containers on the longest way down, itself included.
        is_open: A container that is still being filled. Once it is referred to, it stays as it
            is: so nothing can contain itself.
    """

    kind: Kind
    content: object = None
    items: list[Value] = field(default_factory=list)
    weight: int = 1
    nbytes: int = 0
    depth: int = 0
    is_open: bool = False

    def add(self, values: Sequence[Value], limits: Limits) -> None:
        """Count values as part of this container.

        Raises:
            CheckpointError: If it then nests too deep or refers to too many values.
        """
        self.weight += sum(value.weight for value in values)
        self.nbytes += sum(value.nbytes for value in values)
        self.depth = max([self.depth, *(value.depth + 1 for value in values)])
        if self.depth > limits.depth:
            raise CheckpointError(
                f"nests containers more than {limits.depth} deep, which no state dict does"
            )
        if self.weight > limits.values:
            raise CheckpointError(
                f"refers to more than {limits.values:,} values, counted as often as they are "
                "referred to"
            )

    def add_items(self, values: Sequence[Value], limits: Limits) -> None:
        """Add keys and values in turn to this dict.

        Raises:
            CheckpointError: As `add`, or if a key is neither a text nor an index.
        """
        if len(values) % 2:
            raise damaged("a dict has a key without a value")
        keys = values[::2]
        for key in keys:
            if key.kind is not Kind.TEXT and (key.length is None or key.length > MAX_INDEX):
                raise damaged(f"a {key.name} is a key of a dict; texts and indices are taken")
        self.items.extend(keys)
        self.add(values, limits)

    @property
    def length(self) -> int | None:
        """The number, if it is a whole one from 0."""
        if self.kind is Kind.NUMBER and type(self.content) is int and self.content >= 0:
            return self.content
        return None

    @property
    def name(self) -> str:
        """The kind, in words."""
        return self.kind.name.lower().replace("_", " ")


def container(kind: Kind, limits: Limits, values: Sequence[Value] = ()) -> Value:
    """Return a tuple or list of values, or an empty dict.

    Raises:
        CheckpointError: As `Value.add`.
    """
    value = Value(kind, items=[*values], depth=1)
    value.add(values, limits)
    return value


def damaged(error: Exception | str) -> CheckpointError:
    """Return the error of a file whose bytes make no sense."""
    reason = first_line(error)[:200]
    return CheckpointError(f"is damaged, cut short, or not a PyTorch checkpoint: {reason}")
