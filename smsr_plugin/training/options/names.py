"""Names in option files: what each stands for, in a registry or in torch, and which keys it brings.

A plugin tells the keys of its own models and data sets as this package does below, before option
files are read:

    register_model("MyModel", train=MyTrain)
    register_dataset("MyDataset", training=MyTrainingSet, validation=MyValidationSet)

where `MyTrain` is a `Section`. Of a model or data set that is not told, what BasicSR reads is
checked and every other key is let through.
"""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache
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
from msgspec import NODEFAULT, defstruct, field
from msgspec.structs import FieldInfo
from torch import nn
from torch.optim import lr_scheduler as torch_schedulers

from smsr_plugin.training.options.datasets import (
    CheckedTrainingPairs,
    Dataset,
    EvaluationPairs,
    SingleImages,
    TrainingDataset,
    TrainingPairs,
)
from smsr_plugin.training.options.sections import CommonOptions, Logger, SMSRLogger, Validation
from smsr_plugin.training.options.train import AdversarialTrain, SMSRTrain, Train
from smsr_plugin.training.options.values import Section, fields

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


class NoKeys(Section):
    """Nothing beyond what is read anyway."""


class ModelKeys(NamedTuple):
    """What a model reads beyond SRModel's keys, by section."""

    train: type[Section] = NoKeys
    logger: type[Section] = NoKeys
    images: bool = False  #: Whether its network maps lq images to sr images, and nothing else.


class DatasetKeys(NamedTuple):
    """What a data set reads beyond the loader's keys, in a training and elsewhere."""

    training: type[Section] = NoKeys
    validation: type[Section] = NoKeys


_PAIRS = DatasetKeys(TrainingPairs, EvaluationPairs)
_MODELS: dict[str, ModelKeys] = {
    "SRModel": ModelKeys(images=True),
    "SwinIRModel": ModelKeys(images=True),
    "SRGANModel": ModelKeys(train=AdversarialTrain, images=True),
    "ESRGANModel": ModelKeys(train=AdversarialTrain, images=True),
    "SMSRModel": ModelKeys(train=SMSRTrain, logger=SMSRLogger, images=True),
}
#: Data sets of single images, whose channels `color` says.
IMAGE_SETS = ("PairedImageDataset", "CheckedPairedImageDataset", "SingleImageDataset")
_DATASETS: dict[str, DatasetKeys] = {
    "PairedImageDataset": _PAIRS,
    "CheckedPairedImageDataset": DatasetKeys(CheckedTrainingPairs, EvaluationPairs),
    "SingleImageDataset": DatasetKeys(SingleImages, SingleImages),
}


def register_model(
    name: str,
    train: type[Section] = NoKeys,
    logger: type[Section] = NoKeys,
    images: bool = False,
) -> None:
    """Tell which keys a `model_type` reads beyond SRModel's; all others are then refused.

    Args:
        name: The `model_type`.
        train: Keys of `train`.
        logger: Keys of `logger`.
        images: Whether its network maps lq images to sr images, so that it can be tried out.
    """
    _MODELS[name] = ModelKeys(train, logger, images)


def register_dataset(
    name: str, training: type[Section] = NoKeys, validation: type[Section] = NoKeys
) -> None:
    """Tell which keys a data set's `type` reads beyond the loader's; all others are refused."""
    _DATASETS[name] = DatasetKeys(training, validation)


def image_channels(keys: Mapping[str, Any]) -> int:
    """Return how many channels the images of a data set have."""
    return 1 if keys["type"] in IMAGE_SETS and keys.get("color") == "y" else 3


def models() -> dict[str, ModelKeys]:
    """Return the models whose keys are known."""
    return dict(_MODELS)


def datasets() -> dict[str, DatasetKeys]:
    """Return the types of data sets whose keys are known."""
    return dict(_DATASETS)


def extended(section: type[Section], model: str, dataset: str) -> tuple[type[Section], bool]:
    """Return a section with the keys of a model or a type of data set, and whether it is closed.

    Args:
        section: As `sections.py` has it.
        model: The `model_type`.
        dataset: The `type`, if it is the section of a data set.
    """
    if issubclass(section, Dataset):
        keys = _DATASETS.get(dataset, DatasetKeys())
        extra = keys.training if issubclass(section, TrainingDataset) else keys.validation
        return merged(section, extra), dataset in _DATASETS
    known = _MODELS.get(model, ModelKeys())
    if section is Train:
        section = merged(section, known.train)
    elif section is Logger:
        section = merged(section, known.logger)
    elif not issubclass(section, CommonOptions | Validation):
        return section, True
    return section, model in _MODELS


@cache
def merged(base: type[Section], extra: type[Section]) -> type[Section]:
    """Return a section with the keys of two; where both have one, that of `extra` holds."""
    if issubclass(extra, base):
        return extra
    together = {item.name: item for item in (*fields(base), *fields(extra))}
    section = defstruct(
        f"{base.__name__}{'' if extra is NoKeys else extra.__name__}",
        [_definition(item) for item in together.values()],
        bases=(Section,),
        namespace={name: getattr(base, name) for name in ("patterns", "patterns_are_keys")},
        kw_only=True,
    )
    return cast(type[Section], section)


def _definition(item: FieldInfo) -> tuple[str, object] | tuple[str, object, object]:
    if item.default_factory is not NODEFAULT:
        return item.name, item.type, field(default_factory=item.default_factory)
    if item.default is not NODEFAULT:
        return item.name, item.type, item.default
    return item.name, item.type
