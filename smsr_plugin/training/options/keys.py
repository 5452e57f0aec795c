"""Which keys a section of some options may have, whether the file has them or not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import fields

from smsr_plugin.training.options.arguments import arguments
from smsr_plugin.training.options.extensions import extended
from smsr_plugin.training.options.names import find
from smsr_plugin.training.options.run import TestOptions, TrainingOptions
from smsr_plugin.training.options.values import Section, is_section, metadata, section_of


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
    patterns = (kind for text, kind in section.patterns.items() if re.fullmatch(text, first))
    kind, value = kinds.get(first) or next(patterns, None), held.get(first)
    named = metadata(kind).get("kind") if kind is not None else None
    name = value.get("type") if is_section(value) else None
    if named is not None:
        target = find(named, name)
        inner = None if target is None else arguments(named, target).section
        found = Keys() if inner is None else _keys(inner, value, rest, model)
        return found if rest else Keys(("type", *found.names), found.patterns)
    inner = section_of(kind) if kind is not None else None
    if inner is None:
        return Keys()
    return _keys(extended(inner, model, str(name))[0], value, rest, model)
