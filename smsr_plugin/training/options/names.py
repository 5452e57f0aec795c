"""Names in the options that BasicSR looks up in its registries: known, or the nearest suggested."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)

from smsr_plugin.training.converters import CONVERTER_REGISTRY
from smsr_plugin.training.errors import MISSING, suggestion, wrong
from smsr_plugin.training.options.file import Options

BASICSR_SUFFIX = "_basicsr"  # what a registry adds to a name that it does not hold


class NamedType(NamedTuple):
    """A name in the options that stands for a class or function."""

    key: str
    name: object
    kind: str
    registry: Registry


def check_types(opt: Options, is_train: bool) -> None:
    """Every type is registered under its name.

    Raises:
        OptionError: At the first one that is not, with the nearest name that is.
    """
    for key, name, kind, registry in _named_types(opt):
        known = sorted(known.removesuffix(BASICSR_SUFFIX) for known in registry.keys())  # noqa: SIM118
        if name not in (*known, *registry.keys()):
            nearest = suggestion(name, known) or f" ({', '.join(known)})"
            raise wrong(key, f"the name of a {kind}{nearest}", name, "names are case-sensitive")


def check_network_arguments(opt: Options, is_train: bool) -> None:
    """Every key of a `network_…` section is an argument of its network, and none is lacking.

    Raises:
        OptionError: At the first one that is not, with the nearest argument that is.
    """
    for section, keys in _networks(opt):
        network = keys["type"]
        parameters = network_parameters(network)
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            continue
        for key, value in keys.items():
            if key != "type" and key not in parameters:
                expected = f"an option of {network}{suggestion(key, list(parameters))}"
                raise wrong(f"{section}.{key}", expected, value, f"known: {', '.join(parameters)}")
        for key, parameter in parameters.items():
            if parameter.default is parameter.empty and key not in keys:
                raise wrong(f"{section}.{key}", "a value", MISSING, f"{network} has no default")


def network_parameters(network: str) -> Mapping[str, inspect.Parameter]:
    """Return the arguments of a registered network."""
    name = network if network in ARCH_REGISTRY else network + BASICSR_SUFFIX
    return inspect.signature(ARCH_REGISTRY.get(name)).parameters


def network_scale(keys: Mapping[str, Any]) -> Any:
    """Return what a `network_…` section, or its network's default, gives as `upscale`."""
    if "upscale" in keys:
        return keys["upscale"]
    parameter = network_parameters(keys["type"]).get("upscale")
    return None if parameter is None else parameter.default


def _networks(opt: Options) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in opt.items():
        if key.startswith("network_") and value is not None:
            yield key, value


def _named_types(opt: Options) -> Iterator[NamedType]:
    yield NamedType("model_type", opt.get("model_type", MISSING), "model", MODEL_REGISTRY)
    for name, keys in opt["datasets"].items():
        yield _type_of(f"datasets.{name}", keys, "data set", DATASET_REGISTRY)
    for name, keys in _networks(opt):
        yield _type_of(name, keys, "network", ARCH_REGISTRY)
    for name, keys in (opt.get("train") or {}).items():
        if name.endswith("_opt") and isinstance(keys, dict):
            yield _type_of(f"train.{name}", keys, "loss", LOSS_REGISTRY)
    val = opt.get("val") or {}
    for name, keys in (val.get("metrics") or {}).items():
        yield _type_of(f"val.metrics.{name}", keys, "metric", METRIC_REGISTRY)
    if val.get("converter"):
        yield _type_of("val.converter", val["converter"], "converter", CONVERTER_REGISTRY)


def _type_of(section: str, keys: object, kind: str, registry: Registry) -> NamedType:
    if not isinstance(keys, dict):
        raise wrong(section, "a section with a type", keys, f"indent its keys below `{section}:`")
    return NamedType(f"{section}.type", keys.get("type", MISSING), kind, registry)
