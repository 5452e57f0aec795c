"""The values of a pickle, as far as they matter, and how much of them there may be.

What `torch.save` writes of a state dict may be named and called, and nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

import torch

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.names import first_line

#: Largest key that is a number: an index of a parameter, an iteration.
MAX_INDEX = 2**31 - 1
#: Bytes of an element of each kind of storage, by module and name.
STORAGES = {
    "torch ComplexDoubleStorage": 16,
    **{f"torch {name}Storage": 8 for name in ("Double", "Long", "ComplexFloat")},
    **{f"torch {name}Storage": 4 for name in ("Float", "Int")},
    **{f"torch {name}Storage": 2 for name in ("Half", "BFloat16", "Short")},
    **{f"torch {name}Storage": 1 for name in ("Char", "Byte", "Bool")},
    "torch.storage UntypedStorage": 1,
}
CALLABLES = frozenset(
    (
        "collections OrderedDict",
        "collections Counter",
        "torch Size",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
    )
)


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


def named(name: str) -> Value:
    """Return a global, given as module, space and name.

    Raises:
        CheckpointError: If no state dict needs it.
    """
    if name not in CALLABLES and name not in STORAGES and _dtype(name) is None:
        shown = re.sub(r"[^\w.]+", ".", name)[:120]
        raise CheckpointError(
            f"needs the Python object {shown}; only ordinary tensors, numbers, strings and their "
            "containers are loaded, because other objects can run code. Save the network's "
            "state_dict() instead"
        )
    return Value(Kind.GLOBAL, name)


def _dtype(name: str) -> torch.dtype | None:
    module, _, attribute = name.partition(" ")
    found = getattr(torch, attribute, None) if module == "torch" else None
    return found if isinstance(found, torch.dtype) else None


def storage(description: Value) -> tuple[str, Value]:
    """Return the key of the storage that a persistent id describes, and the storage.

    The id is ("storage", type, key, location, elements) and in old files a view, or None.

    Raises:
        CheckpointError: If it is anything else.
    """
    match description.items:
        case [
            Value(Kind.TEXT, "storage"),
            Value(Kind.GLOBAL, str(kind)),
            Value(Kind.TEXT, str(key)),
            Value(Kind.TEXT),
            Value(Kind.NUMBER, int(elements)),
            *view,
        ] if kind in STORAGES and elements >= 0 and _is_view(view, elements):
            return key, Value(Kind.STORAGE, STORAGES[kind], nbytes=elements * STORAGES[kind])
    raise damaged("it refers to something that is no storage")


def _is_view(view: Sequence[Value], elements: int) -> bool:
    match [*view]:
        case [] | [Value(Kind.NUMBER, None)]:
            return True
        case [Value(Kind.TUPLE, items=[Value(Kind.TEXT), offset, size])]:
            if offset.length is not None and size.length is not None:
                return offset.length + size.length <= elements
    return False


def call(function: Value, arguments: Value, limits: Limits) -> Value:
    """Return what a global makes of arguments such as `torch.save` writes.

    Raises:
        CheckpointError: If they are others.
    """
    if function.kind is not Kind.GLOBAL or arguments.kind is not Kind.TUPLE:
        raise damaged("it calls what cannot be called")
    name = str(function.content)
    match name.partition(" ")[2], arguments.items:
        case "OrderedDict", []:
            return _opened(container(Kind.ORDERED_DICT, limits))
        case "OrderedDict", [Value(Kind.LIST) as pairs]:  # as Python 2 has it
            return _of_pairs(pairs, limits)
        case "Counter", [Value(Kind.DICT) as counts] if counts.depth == 1:
            return counts
        case "Size", [Value(Kind.TUPLE) as size]:
            _lengths(size, limits)
            return size
        case "_rebuild_parameter", [Value(Kind.TENSOR) as data, _, hooks] if _is_empty(hooks):
            return data
        case "_rebuild_tensor", [held, offset, size, stride]:
            return _tensor(held, offset, size, stride, None, limits)
        case "_rebuild_tensor_v2", [held, offset, size, stride, _, hooks] if _is_empty(hooks):
            return _tensor(held, offset, size, stride, None, limits)
        case "_rebuild_tensor_v3", [held, offset, size, stride, _, hooks, dtype] if (
            _is_empty(hooks) and dtype.kind is Kind.GLOBAL
        ):
            return _tensor(held, offset, size, stride, _dtype(str(dtype.content)), limits)
    raise damaged(f"it calls {name.replace(' ', '.')} with other arguments than torch.save does")


def _opened(value: Value) -> Value:
    value.is_open = True
    return value


def _of_pairs(pairs: Value, limits: Limits) -> Value:
    found = container(Kind.ORDERED_DICT, limits)
    for pair in pairs.items:
        if pair.kind not in (Kind.LIST, Kind.TUPLE) or len(pair.items) != 2:
            raise damaged("an OrderedDict is made of something other than pairs")
        found.add_items(pair.items, limits)
    return _opened(found)


def _is_empty(hooks: Value) -> bool:
    return hooks == Value(Kind.NUMBER, None) or (
        hooks.kind is Kind.ORDERED_DICT and hooks.weight == 1
    )


def _tensor(
    held: Value,
    offset: Value,
    size: Value,
    stride: Value,
    dtype: torch.dtype | None,
    limits: Limits,
) -> Value:
    """Return a tensor: a view of a storage, with no more values than that."""
    element = held.content if dtype is None else dtype.itemsize
    if held.kind is not Kind.STORAGE or not isinstance(element, int) or offset.length is None:
        raise damaged("a tensor has no storage, or no place in it")
    shape = _lengths(size, limits)
    if len(_lengths(stride, limits)) != len(shape):
        raise damaged("a tensor has not as many strides as dimensions")
    claimed = math.prod(shape) * element
    if claimed > held.nbytes:
        raise CheckpointError(
            f"holds a tensor that is not ordinary: {claimed:,} bytes in a storage of "
            f"{held.nbytes:,}"
        )
    return Value(Kind.TENSOR, nbytes=claimed)


def _lengths(value: Value, limits: Limits) -> list[int]:
    if value.kind is not Kind.TUPLE or len(value.items) > limits.dims:
        raise damaged(f"a tensor has no shape, or one of more than {limits.dims} dimensions")
    lengths = [item.length for item in value.items if item.length is not None]
    if len(lengths) < len(value.items):
        raise damaged("a tensor has a length or stride below 0")
    return lengths
