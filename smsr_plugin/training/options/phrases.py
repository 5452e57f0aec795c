"""Types in words, as errors and the docs call them."""

from __future__ import annotations

import math
from typing import Any

from msgspec import inspect

_PHRASES = (
    (inspect.BoolType, "true or false"),
    (inspect.StrType, "text"),
    (inspect.NoneType, "~"),
    (inspect.DictType, "a section"),
    (inspect.StructType, "a section"),
)


def phrase(info: inspect.Type) -> str:
    """Return what a type takes in words, such as `a whole number above 0`."""
    for kind, text in _PHRASES:
        if isinstance(info, kind):
            return text
    if isinstance(info, inspect.Metadata):
        extra: dict[str, Any] = getattr(info, "extra", None) or {}
        return str(extra["expected"]) if "expected" in extra else phrase(info.type)
    if isinstance(info, inspect.UnionType):
        return one_of([part for inner in info.types for part in _parts(inner)])
    if isinstance(info, inspect.LiteralType):
        return one_of(_parts(info))
    if isinstance(info, inspect.IntType | inspect.FloatType):
        return _number(info)
    if isinstance(info, inspect.TupleType):
        each = {phrase(part) for part in info.item_types}
        return f"a list of {len(info.item_types)}, each {one_of(sorted(each))}"
    if isinstance(info, inspect.ListType | inspect.VarTupleType):
        inner = phrase(info.item_type)
        return "a list" if inner == "a value" else f"a list, each {inner}"
    return "a value"


def one_of(parts: list[str]) -> str:
    """Join by commas and `or`."""
    *first, last = parts
    return f"{', '.join(first)} or {last}" if first else last


def _parts(info: inspect.Type) -> list[str]:
    if isinstance(info, inspect.LiteralType):
        return [f"`{value}`" for value in info.values]
    return [phrase(info)]


def _number(info: inspect.IntType | inspect.FloatType) -> str:
    whole = isinstance(info, inspect.IntType)
    name = "a whole number" if whole else "a number"
    least, above, most, below = (_finite(x) for x in (info.ge, info.gt, info.le, info.lt))
    if whole and (least, most, below) == (1, None, None):
        return f"{name} above 0"
    if least is not None and most is not None:
        return f"{name} from {least:,} to {most:,}"
    ends = ((above, "above"), (least, "of at least"), (most, "of at most"), (below, "below"))
    told = [f"{word} {end:,}" for end, word in ends if end is not None]
    return " ".join([name, " and ".join(told)]).rstrip()


def _finite(end: float | None) -> float | None:
    return end if end is not None and math.isfinite(end) else None
