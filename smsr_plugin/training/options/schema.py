"""The JSON schema of option files, for editors: what the types say, in the terms of JSON Schema.

Of optimizers and schedulers, whose arguments change with torch, it says only what all have. The
checks of two keys and of the machine are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import NoneType
from typing import Any

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo

from smsr_plugin.training.options.arguments import ARGUMENTS, arguments
from smsr_plugin.training.options.datasets import Dataset
from smsr_plugin.training.options.names import datasets, extended, models, names, required
from smsr_plugin.training.options.sections import Logger, TestOptions, TrainingOptions
from smsr_plugin.training.options.train import Train
from smsr_plugin.training.options.values import (
    Section,
    description,
    fields,
    metadata,
    refusal,
    section_of,
)

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
#: Kinds whose things are those of BasicSR and of this package, whatever else is installed.
CLOSED_KINDS = ("network", "loss", "metric", "converter")
#: Defaults that JSON can hold.
PLAIN = (bool, int, float, str, tuple, NoneType)
#: BasicSR's own schedulers.
SCHEDULERS = ("MultiStepLR", "MultiStepRestartLR", "CosineAnnealingRestartLR")


def schema_text() -> str:
    """Return the schema as the file that the package ships."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def schema() -> Schema:
    """Return the schema of option files, with what is registered now."""
    definitions = _Definitions()
    training, testing = (definitions.of(section) for section in (TrainingOptions, TestOptions))
    return {
        "$schema": DRAFT,
        "title": "An option file of smsr_plugin and BasicSR",
        "type": "object",
        "if": {"properties": {"datasets": {"required": ["train"]}}},
        "then": training,
        "else": testing,
        "definitions": dict(sorted(definitions.made.items())),
    }


class _Definitions:
    """The schema's definitions, made as they are asked for."""

    def __init__(self) -> None:
        self.made: dict[str, Schema] = {}

    def of(self, section: type[Section]) -> Schema:
        """Return a reference to a section's definition."""
        name = section.__name__
        if name not in self.made:
            self.made[name] = {}  # its keys may lead back to it
            if issubclass(section, Dataset):
                self.made[name] = self._dataset(section)
            elif section in (TrainingOptions, TestOptions):
                self.made[name] = self._options(section)
            else:
                self.made[name] = self._object(section, closed=True)
        return {"$ref": f"#/definitions/{name}"}

    def _options(self, section: type[Section]) -> Schema:
        """Return the whole: what a model reads depends on `model_type`."""
        made = self._object(section, closed=False)
        closed = [*models()]
        keys = {"enum": list(made["properties"])}
        spelt = [{"pattern": f"^{pattern}$"} for pattern in section.patterns]
        cases = [_case("model_type", closed, {"propertyNames": {"anyOf": [keys, *spelt]}})]
        for model in closed if section is TrainingOptions else ():
            parts = {
                "train": extended(Train, model, "")[0],
                "logger": extended(Logger, model, "")[0],
            }
            told = {key: self._closed(part) for key, part in parts.items()}
            cases.append(_case("model_type", [model], {"properties": told}))
        return {**made, "allOf": cases}

    def _dataset(self, section: type[Section]) -> Schema:
        """Return a data set: what it reads depends on its `type`."""
        cases = [
            _case("type", [name], self._closed(extended(section, "", name)[0]))
            for name in datasets()
        ]
        return {**self._object(section, closed=False), "allOf": cases}

    def _closed(self, section: type[Section]) -> Schema:
        """Return a reference to a section with the keys that a model or data set adds."""
        name = f"{section.__name__}.closed"
        if name not in self.made:
            self.made[name] = self._object(section, closed=True)
        return {"$ref": f"#/definitions/{name}"}

    def _object(self, section: type[Section], closed: bool) -> Schema:
        known = fields(section)
        properties = {item.name: self._property(item) for item in known}
        made: Schema = {"type": "object", "properties": properties}
        needed = [item.name for item in known if item.required]
        if needed:
            made["required"] = needed
        if section.patterns and section.patterns_are_keys:
            made["patternProperties"] = {
                f"^{pattern}$": self._value(kind) for pattern, kind in section.patterns.items()
            }
        if closed:
            made["additionalProperties"] = False
        return made

    def _property(self, item: FieldInfo) -> Schema:
        made = self._value(item.type)
        default: Any = item.default
        if default is not NODEFAULT and isinstance(default, PLAIN):
            made["default"] = default
        return made

    def _value(self, kind: Any) -> Schema:
        extra, section = metadata(kind), section_of(kind)
        leaf: Schema = {} if section else msgspec.json.schema(kind)
        if "kind" in extra:
            made = self._named(extra["kind"])
        elif "names" in extra:
            made = {"enum": names(extra["names"])}
        elif section is not None:
            # `train` and `logger` of a model that is not known may hold anything more.
            made = self._object(section, False) if section in (Train, Logger) else self.of(section)
        else:
            return leaf
        if refusal(kind, None) is None:
            made = {"anyOf": [made, {"type": "null"}]}
        elif "$ref" in made:
            made = {"allOf": [made]}  # beside a reference nothing else is read
        return {"description": description(kind), **made}

    def _named(self, kind: str) -> Schema:
        """Return a reference to the definition of a section with a `type`."""
        if kind not in self.made:
            self.made[kind] = {}
            self.made[kind] = self._kind(kind)
        return {"$ref": f"#/definitions/{kind}"}

    def _kind(self, kind: str) -> Schema:
        known: Iterable[str] = names(kind) if kind in CLOSED_KINDS else ()
        if kind == "scheduler":
            known = SCHEDULERS
        cases = [_case("type", [name], self._arguments(kind, name)) for name in known]
        kinds: Schema = {"type": "string"}
        if kind in CLOSED_KINDS:
            kinds = {"enum": list(known)}
        made: Schema = {"type": "object", "properties": {"type": kinds}, "required": ["type"]}
        if kind == "optimizer":
            common = {name: self._value(told) for name, told in ARGUMENTS[kind].items()}
            made["properties"] |= common
            made["required"] = ["type", "lr"]
        return {**made, "allOf": cases} if cases else made

    def _arguments(self, kind: str, name: str) -> Schema:
        section, is_open = arguments(kind, required(kind, name))
        made = self._object(section, closed=not is_open)
        made["properties"] = {"type": {}, **made["properties"]}
        return made


def _case(key: str, values: list[str], then: Schema) -> Schema:
    """Return the schema that holds where a key has one of some values."""
    return {"if": {"properties": {key: {"enum": values}}, "required": [key]}, "then": then}
