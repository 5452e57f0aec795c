"""What a pickle may name and call: what `torch.save` writes of a state dict, nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch

from smsr_plugin.checkpoints.errors import CheckpointError
from smsr_plugin.checkpoints.pickle_values import Kind, Limits, Value, container, damaged

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
