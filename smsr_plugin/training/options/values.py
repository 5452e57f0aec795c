"""Kinds of values in an option file: what a key may hold, and how errors and the docs call it."""

from __future__ import annotations

import math
import pathlib
import re
from collections.abc import Mapping
from functools import cache
from inspect import cleandoc
from typing import Annotated, Any, ClassVar, TypeGuard, TypeVar, cast

import msgspec
from msgspec import Meta, Struct, inspect, structs
from msgspec.structs import FieldInfo

from smsr_plugin.training.options.errors import MISSING, suggestion, wrong

#: A file name with one place for the name of an image; format strings can do more.
FILE_NAME_TEMPLATE = r"^[^{}/\\]*\{\}[^{}/\\]*$"
#: One folder or file, not a way out of the folder that it is in.
FILE_NAME = r"^(?=.*[^. ])[^/\\\x00\r\n]+$"

#: What to do about a key that is not known.
UNREAD = "nothing reads it: remove or correct it"

#: A section as plain values: what a file holds.
Options = dict[str, Any]
Switch = bool
#: `!!float 5e3` is common in BasicSR's option files, and as good as 5000.
Count = Annotated[int, Meta(ge=1, extra={"count": True})]
Whole = Annotated[int, Meta(ge=0)]
Size = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Seed = Annotated[
    int, Meta(ge=0, lt=2**31, extra={"expected": "a whole number from 0 to 2147483647"})
]
FileName = Annotated[str, Meta(pattern=FILE_NAME, extra={"range": "part of a file name"})]
Template = Annotated[
    str, Meta(pattern=FILE_NAME_TEMPLATE, extra={"expected": "a file name with one {}"})
]
#: `~` at its start stands for the home folder.
Path = Annotated[str, Meta(min_length=1, extra={"path": True, "expected": "a path"})]
#: A section whose keys are the arguments of what `type` names; `about(kind=…)` says of which kind.
Registered = dict[str, Any]


class Section(Struct, forbid_unknown_fields=True):
    """A section of an option file.

    The docstring of a subclass has an `Attributes:` like this one, which says what its keys mean:
    a sentence for the docs and for editors. In brackets after it stands what an error advises; it
    is the sentence itself without.

    Attributes:
        patterns: The types of keys that are known by how they are spelt (a regular expression).
        patterns_are_keys: Whether these are keys of the section, or are only looked into.
    """

    patterns: ClassVar[Mapping[str, Any]] = {}
    patterns_are_keys: ClassVar[bool] = True


_Section = TypeVar("_Section", bound=Section)


def is_section(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value of an option file is a section."""
    return isinstance(value, dict)


def about(text: str | None = None, **extra: Any) -> Meta:
    """Return what is said of a key, for `Annotated`.

    Args:
        text: What it means, where no docstring says it.
        **extra: `advice`, what to do where it is wrong; `expected`, what it should hold, where
            that does not follow from the type; `range`, the same where the type is right; `kind`,
            what a section `Registered` names; `names`, what a text is the name of; `unknown`, what
            to expect in place of a key that a section does not have; `whole`, tell the section
            where its `type` is wrong; `fill`, write the default where the key is absent, because
            BasicSR reads it without.
    """
    return Meta(description=text, extra=extra)


_HEADED = r"^{}:\n((?:[ \t].*\n?|\n)*)"
_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): ", re.MULTILINE)


def texts(docstring: str | None, heading: str) -> dict[str, str]:
    """Return what a docstring says below `Args:` or `Attributes:` on each name, on one line."""
    listed = re.search(_HEADED.format(heading), cleandoc(docstring or ""), re.MULTILINE)
    if listed is None:
        return {}
    _, *pieces = _ENTRY.split(listed[1])
    return {
        name: " ".join(text.split())
        for names, text in zip(pieces[::2], pieces[1::2], strict=True)
        for name in names.split(", ")
    }


@cache
def fields(section: type[Section]) -> tuple[FieldInfo, ...]:
    """Return the keys of a section, what the docstrings say of them added to their types."""
    told: dict[str, str] = {}
    for part in reversed(section.__mro__):
        told |= texts(part.__dict__.get("__doc__"), "Attributes")
    return tuple(_told(item, told.get(item.name)) for item in structs.fields(section))


def _told(item: FieldInfo, text: str | None) -> FieldInfo:
    if text is None:
        return item
    meaning, _, told = text.removesuffix("]").partition(" [")
    meta = about(meaning, **({"advice": told} if told else {}))
    return structs.replace(item, type=Annotated[item.type, meta])


def metadata(kind: Any) -> dict[str, Any]:
    """Return the `extra` of a type (see `about`)."""
    return _extra(inspect.type_info(kind))


def marks(kind: Any) -> dict[str, Any]:
    """Return the `extra` of a type and of all that it is a union of."""
    return _marks(inspect.type_info(kind))


def section_of(kind: Any) -> type[Section] | None:
    """Return the section that a type is, or may be, None if it is none."""
    return _section_of(inspect.type_info(kind))


def description(kind: Any) -> str:
    """Return the text of `about`, empty without one."""
    info: Any = inspect.type_info(kind)
    schema: dict[str, str] = getattr(info, "extra_json_schema", None) or {}
    return schema.get("description", "")


def expected(kind: Any) -> str:
    """Return how an error or the docs call what a type takes, such as `a number above 0`."""
    return phrase(inspect.type_info(kind))


def checked(path: str, value: Any, kind: Any) -> Any:
    """Return a value of a type; `5e3` becomes whole, `~` at the start of a path the home folder.

    Args:
        path: Of its key, its sections joined by dots.
        value: What the file holds; `MISSING` for nothing.
        kind: The type.

    Raises:
        OptionError: If the type does not take it.
    """
    told = marks(kind)
    if "count" in told and isinstance(value, float) and value.is_integer():
        value = int(value)
    text = refusal(kind, value)
    if text is not None:
        raise wrong(path, text, value, advice(kind))
    return str(pathlib.Path(cast(str, value)).expanduser()) if "path" in told and value else value


def built(path: str, keys: Mapping[str, Any], section: type[_Section]) -> _Section:
    """Return a section's struct, its values checked.

    Raises:
        OptionError: If a key is unknown, absent without a default, or holds what it may not.
    """
    known = {item.name: item for item in fields(section)}
    for key, value in keys.items():
        if key not in known:
            text = f"a known key{suggestion(key, list(known))}"
            raise wrong(f"{path}.{key}", text, value, UNREAD)
    values: dict[str, Any] = {}
    for name, item in known.items():
        if name in keys or item.required:
            here, value, inner = f"{path}.{name}", keys.get(name, MISSING), section_of(item.type)
            if inner is not None and is_section(value):
                values[name] = built(here, value, inner)
            else:
                values[name] = checked(here, value, item.type)
    return section(**values)


def advice(kind: Any) -> str:
    """Return what to do about a value that is wrong: what is told, or what the key means."""
    told, text = metadata(kind).get("advice"), description(kind).rstrip(".")
    if text[1:2].islower():  # and not a name such as CPU
        text = text[0].lower() + text[1:]
    return told or text or "correct or remove it"


def refusal(kind: Any, value: object) -> str | None:
    """Return what `kind` expects if it does not take `value`, else None."""
    if not _is_finite(value):
        return expected(kind)
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        if "expected" in metadata(kind):
            return expected(kind)
        told = marks(kind)
        _, too_large, most = str(error).partition(" <= ")
        if too_large and "expected" not in told:
            return f"at most {int(float(most.split()[0])):,}"
        if "matching regex" in str(error) and "range" in told:
            return str(told["range"])
        return expected(kind)
    return None


def _is_finite(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_finite, cast(list[object], value)))
    return not isinstance(value, float) or math.isfinite(value)


def _extra(info: inspect.Type) -> dict[str, Any]:
    return dict(getattr(info, "extra", None) or {})


def _marks(info: inspect.Type) -> dict[str, Any]:
    if isinstance(info, inspect.Metadata):
        return _marks(info.type) | _extra(info)
    if isinstance(info, inspect.UnionType):
        return {name: value for part in info.types for name, value in _marks(part).items()}
    return {}


def _section_of(info: inspect.Type) -> type[Section] | None:
    if isinstance(info, inspect.Metadata):
        return _section_of(info.type)
    if isinstance(info, inspect.UnionType):
        return next(filter(None, map(_section_of, info.types)), None)
    return cast(type[Section], info.cls) if isinstance(info, inspect.StructType) else None


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
