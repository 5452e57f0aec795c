"""The errors that end a run in one line, what their text is made of, and which are the user's.

Others are bugs, and keep their traceback.
"""

from __future__ import annotations

import difflib
import math
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import inspect

PACKAGE = __name__.partition(".")[0]
#: Stands for a key that is not there, where None is a value.
MISSING = object()
#: Characters of a value that an error shows.
VALUE_LENGTH = 200


class OptionError(ValueError):
    """An error that the user can mend; its text is one clear line."""


class RunError(RuntimeError):
    """The run cannot go on: a full disk, a loss that is no number; its text is one clear line."""


class EndedElsewhereError(RunError):
    """Another process of the run cannot go on, and says why."""


def wrong(key: str, expected: str, value: object, advice: str) -> OptionError:
    """Return the error for a key (its sections joined by dots).

    Args:
        key: Which key.
        expected: What it should hold.
        value: What it holds; `MISSING` for nothing at all.
        advice: What to do.
    """
    came = "nothing" if value is MISSING else shown(value)
    return OptionError(f"{key}: expected {expected}, got {came}; {advice}")


def shown(value: object) -> str:
    """Return a value as an error shows it: in Python's notation, cut where it is long."""
    text = repr(value)
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"


def suggestion(name: object, known: Sequence[str]) -> str:
    """Return ` (did you mean …?)` with the known name nearest to `name`, or nothing."""
    nearest = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


@contextmanager
def mendable() -> Generator[None]:
    """While a data set or model is built: make OptionErrors of what the plugin refuses.

    The plugin's code raises ValueError on options that do not fit and FileNotFoundError on files
    that are not there; the same from other code may be a bug and passes unchanged.
    """
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        if is_own_error(error) or not _raised_by_plugin(error):
            raise
        raise OptionError(str(error)) from error


def is_own_error(error: BaseException) -> bool:
    """Whether the plugin made the exception's class for its users: OptionError, DataError, …"""
    return isinstance(error, ValueError) and _is_in_plugin(type(error).__module__)


def one_line(error: BaseException) -> str:
    """Return what an error says; from a data-loader worker, without the worker's traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")


def _raised_by_plugin(error: BaseException) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return _is_in_plugin(frame.f_globals["__name__"])


def _is_in_plugin(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


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
