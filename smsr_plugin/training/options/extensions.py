"""Keys that belong to one model or one type of data set, by their names.

A plugin tells its own in the same way as this package does below, before option files are read:

    register_model("MyModel", train=MyTrain)
    register_dataset("MyDataset", training=MyTrainingSet, validation=MyValidationSet)

where `MyTrain` is a `Section`. Of a model or data set that is not told, what BasicSR reads is
checked and every other key is let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, cast

from msgspec import NODEFAULT, defstruct, field
from msgspec.structs import FieldInfo

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
