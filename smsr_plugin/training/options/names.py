"""Names in option files: what each stands for, in a registry or in torch, and what it builds."""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, cast

import torch
from basicsr.models import lr_scheduler as basicsr_schedulers
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)
from torch import nn
from torch.optim import lr_scheduler as torch_schedulers

#: Functions that turn a trained network into one for inference.
CONVERTER_REGISTRY = Registry("converter")
BASICSR_SUFFIX = "_basicsr"  # what a registry adds to a name that it does not hold

#: A class or a function.
Target = Callable[..., Any]


class Kind(NamedTuple):
    """A kind of things that option files name."""

    text: str  #: How errors call one.
    all: Callable[[], Mapping[str, Target]]  #: Those that are known now, by name.


def _in(registry: Registry) -> Callable[[], Mapping[str, Target]]:
    return lambda: dict(iter(cast(Any, registry)))


def _classes(module: types.ModuleType, base: type) -> dict[str, Target]:
    return {
        name: item
        for name, item in vars(module).items()
        if inspect.isclass(item) and issubclass(item, base) and item is not base
        if not name.startswith("_")
    }


#: Schedulers that take functions or other schedulers, or a value in each step.
_NOT_FROM_FILES = {
    "ChainedScheduler",
    "LambdaLR",
    "MultiplicativeLR",
    "ReduceLROnPlateau",
    "SequentialLR",
}


def _optimizers() -> Mapping[str, Target]:
    return _classes(torch.optim, torch.optim.Optimizer)


def _schedulers() -> Mapping[str, Target]:
    base = torch_schedulers.LRScheduler
    own, torchs = _classes(basicsr_schedulers, base), _classes(torch_schedulers, base)
    # BasicSR means its own, which can restart, by torch's name.
    known = {**torchs, **own, "MultiStepLR": own["MultiStepRestartLR"]}
    return {name: item for name, item in known.items() if name not in _NOT_FROM_FILES}


KINDS: Mapping[str, Kind] = {
    "model": Kind("model", _in(MODEL_REGISTRY)),
    "dataset": Kind("data set", _in(DATASET_REGISTRY)),
    "network": Kind("network", _in(ARCH_REGISTRY)),
    "loss": Kind("loss", _in(LOSS_REGISTRY)),
    "metric": Kind("metric", _in(METRIC_REGISTRY)),
    "converter": Kind("converter", _in(CONVERTER_REGISTRY)),
    "optimizer": Kind("optimizer", _optimizers),
    "scheduler": Kind("scheduler", _schedulers),
}
#: What constructors of networks call the scale, and the channels of the lq image.
UPSCALE_OPTIONS = ("upscale", "scale")
IN_CHANNEL_OPTIONS = ("num_in_ch", "in_channels", "in_chans")


def names(kind: str) -> list[str]:
    """Return the names that things of a kind are known by."""
    return sorted(name.removesuffix(BASICSR_SUFFIX) for name in KINDS[kind].all())


def find(kind: str, name: object) -> Target | None:
    """Return what a name stands for, None if it is not known."""
    known = KINDS[kind].all()
    return known.get(str(name), known.get(f"{name}{BASICSR_SUFFIX}"))


def required(kind: str, name: str) -> Target:
    """Return what a name stands for.

    Raises:
        KeyError: If it is not known.
    """
    target = find(kind, name)
    if target is None:
        raise KeyError(f"no {KINDS[kind].text} is called {name}")
    return target


def network_option(keys: Mapping[str, Any], options: Sequence[str]) -> tuple[str, Any]:
    """Return the first of some options that a network has, and its value.

    Args:
        keys: The section of the network.
        options: What it may be called, such as `UPSCALE_OPTIONS`.

    Returns:
        The option's name and value; where the network has none of them, the first and None.
    """
    has = parameters(required("network", keys["type"]))
    name = next((name for name in options if name in has), None)
    if name is None:
        return options[0], None
    default = has[name].default
    return name, keys.get(name, None if default is inspect.Parameter.empty else default)


def parameters(target: Target) -> Mapping[str, inspect.Parameter]:
    """Return the arguments of a class or function by name."""
    return inspect.signature(target).parameters


def convert(net: nn.Module, opt: Mapping[str, Any]) -> nn.Module:
    """Return `net` converted as `opt` says; `net` itself is not changed.

    Args:
        net: A trained network.
        opt: `type`, the name of a registered converter, and its keyword arguments.

    Raises:
        ValueError: If there is no such converter or it does not know an argument.
    """
    kwargs = deepcopy(dict(opt))
    name = kwargs.pop("type", None)
    converter = find("converter", name)
    if converter is None:
        raise ValueError(f"val.converter.type must be one of {names('converter')}, got {name!r}")
    try:
        return converter(net, **kwargs)
    except TypeError as error:
        raise ValueError(f"val.converter: {error}") from error


def build(kind: str, keys: Mapping[str, Any], *given: Any) -> Any:
    """Return what a section with a `type` describes.

    Args:
        kind: Of what `type` names.
        keys: The section, which stays as it is.
        given: What the pipeline passes besides: weights to an optimizer, an optimizer to a
            scheduler.
    """
    arguments = deepcopy({key: value for key, value in keys.items() if key != "type"})
    return required(kind, keys["type"])(*given, **arguments)
