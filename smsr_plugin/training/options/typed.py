"""Options of the types that their keys have, and which keys a section may have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import NODEFAULT
from msgspec.structs import FieldInfo

from smsr_plugin.training.options import names
from smsr_plugin.training.options.arguments import arguments
from smsr_plugin.training.options.errors import MISSING, suggestion, wrong
from smsr_plugin.training.options.names import extended
from smsr_plugin.training.options.sections import TestOptions, TrainingOptions
from smsr_plugin.training.options.values import (
    UNREAD,
    Options,
    Section,
    advice,
    checked,
    expected,
    fields,
    is_section,
    metadata,
    refusal,
    section_of,
)


class Place(NamedTuple):
    """Where a value is: the path of its key, and the model, which says what keys there are."""

    path: str
    model: str

    def key(self, name: str) -> Place:
        return Place(f"{self.path}.{name}".lstrip("."), self.model)

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


def typed(opt: Mapping[str, Any], is_train: bool) -> Options:
    """Return the options in their order, each checked by the type of its key.

    Whole numbers written as `5e3` become whole, `~` at the start of a path the home folder, and
    what BasicSR reads without a default gets it.

    Raises:
        OptionError: At the first unknown key, wrong type or value out of range.
    """
    model = named("model_type", opt.get("model_type", MISSING), "model")
    return _section(Place("", model), opt, TrainingOptions if is_train else TestOptions)


def named(path: str, name: object, kind: str) -> str:
    """Return a name that stands for something of a kind.

    Raises:
        OptionError: If it stands for nothing, with the nearest name that does.
    """
    if not isinstance(name, str) or names.find(kind, name) is None:
        known = names.names(kind)
        nearest = suggestion(name, known) or f" ({', '.join(known)})"
        what = names.KINDS[kind].text
        text = f"the name of a{'n' * what.startswith('o')} {what}{nearest}"
        raise wrong(path, text, name, "names are case-sensitive")
    return name


def _section(
    place: Place, values: Mapping[str, Any], section: type[Section], unknown: str | None = None
) -> Options:
    """Return a section's values, each checked.

    Args:
        place: Of the section.
        values: What it holds.
        section: Its type.
        unknown: What to expect in place of a key that it does not have.
    """
    kind = values.get("type", MISSING)
    if "names" in (extra := _extra_of(section, "type")):
        kind = named(place.key("type").path, kind, extra["names"])
    section, closed = extended(section, place.model, str(kind))
    known = {item.name: item.type for item in fields(section)}
    result: Options = {}
    for key, value in values.items():
        here, kind = place.key(key), known.get(key) or _pattern(section, key)
        result[key] = value if kind is None else _value(here, value, kind)
        if closed and key not in known and (kind is None or not section.patterns_are_keys):
            text = unknown or f"a known key{suggestion(key, sorted(known))}"
            raise wrong(here.path, text, value, UNREAD)
    _complete(place, result, fields(section))
    return result


def _pattern(section: type[Section], key: str) -> Any:
    patterns: Mapping[str, Any] = getattr(section, "patterns", {})
    return next((kind for text, kind in patterns.items() if re.fullmatch(text, key)), None)


def _extra_of(section: type[Section], key: str) -> dict[str, Any]:
    for item in fields(section):
        if item.name == key:
            return metadata(item.type)
    return {}


def _complete(
    place: Place, values: Options, known: Sequence[FieldInfo], needed_by: str | None = None
) -> None:
    """Refuse absent keys without a default, and fill in those that BasicSR reads without one."""
    for item in known:
        if item.name in values:
            continue
        if item.required:
            text, told = expected(item.type), advice(item.type)
            if needed_by is not None:
                text = text if text == "a value" else f"a value ({text})"
                told = f"{needed_by} has no default"
            raise wrong(place.key(item.name).path, text, MISSING, told)
        if "fill" in metadata(item.type) and item.default is not NODEFAULT:
            values[item.name] = item.default


def _value(place: Place, value: Any, kind: Any) -> Any:
    """Return a value of a type, checked."""
    extra, section = metadata(kind), section_of(kind)
    if value is None and refusal(kind, None) is None:
        return None
    if "names" in extra:
        return named(place.path, value, extra["names"])
    if section is None and "kind" not in extra:
        return checked(place.path, value, kind)
    if not is_section(value) or ("whole" in extra and not _has_type(value, section)):
        usual = "a section with a type" if "kind" in extra else "a section"
        told = extra.get("advice", f"indent its keys below `{place.name}:`")
        raise wrong(place.path, extra.get("expected", usual), value, told)
    if section is None:
        return _registered(place, value, extra["kind"])
    return _section(place, value, section, extra.get("unknown"))


def _has_type(value: Mapping[str, Any], section: type[Section] | None) -> bool:
    """Whether the `type` of a section is one that it may have; any text without a struct."""
    known = () if section is None else fields(section)
    kind = next((item.type for item in known if item.name == "type"), str)
    return refusal(kind, value.get("type")) is None


def _registered(place: Place, value: Mapping[str, Any], kind: str) -> Options:
    """Return a section with a `type`, its other keys checked as arguments of what that names."""
    name = named(place.key("type").path, value.get("type", MISSING), kind)
    section, is_open = arguments(kind, names.required(kind, name))
    known = {item.name: item.type for item in fields(section)}
    result: Options = {}
    for key, given in value.items():
        if key in known:
            given = _value(place.key(key), given, known[key])
        elif key != "type" and not is_open:
            text = f"an option of {name}{suggestion(key, list(known))}"
            raise wrong(place.key(key).path, text, given, f"known: {', '.join(known)}")
        result[key] = given
    _complete(place, result, fields(section), needed_by=name)
    return result


class Keys(NamedTuple):
    """The keys of a section."""

    names: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()  #: Regular expressions of further names.

    def __contains__(self, key: object) -> bool:
        spelt = any(re.fullmatch(pattern, str(key)) for pattern in self.patterns)
        return key in self.names or spelt


def known_keys(opt: Mapping[str, Any], path: Sequence[str]) -> Keys:
    """Return the keys that the section at `path` may have; none if it is no section.

    Args:
        opt: The options, not yet checked: they say the model, and the types of what is named.
        path: The keys that lead there.
    """
    model = str(opt.get("model_type"))
    training = _keys(TrainingOptions, opt, path, model)
    testing = _keys(TestOptions, opt, path, model)
    names = dict.fromkeys((*training.names, *testing.names))
    return Keys(tuple(names), (*training.patterns, *testing.patterns))


def _keys(section: type[Section], values: Any, path: Sequence[str], model: str) -> Keys:
    held: Mapping[str, Any] = values if is_section(values) else {}
    kinds = {item.name: item.type for item in fields(section)}
    if not path:
        return Keys(tuple(kinds), tuple(section.patterns))
    first, *rest = path
    kind, value = kinds.get(first) or _pattern(section, first), held.get(first)
    named = metadata(kind).get("kind") if kind is not None else None
    name = value.get("type") if is_section(value) else None
    if named is not None:
        target = names.find(named, name)
        inner = None if target is None else arguments(named, target).section
        found = Keys() if inner is None else _keys(inner, value, rest, model)
        return found if rest else Keys(("type", *found.names), found.patterns)
    inner = section_of(kind) if kind is not None else None
    if inner is None:
        return Keys()
    return _keys(extended(inner, model, str(name))[0], value, rest, model)
