"""What an argument stands for: a name, an option file, or a checkpoint told by its content."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_tensors
from smsr_plugin.checkpoints.masked_networks import load_masked
from smsr_plugin.checkpoints.network import read
from smsr_plugin.checkpoints.shapes import network_of
from smsr_plugin.config import PRECISIONS
from smsr_plugin.networks.source import FORMS, NetworkSource

#: A comma that begins `,key=`; others belong to the path or to a value.
NEXT_OPTION = re.compile(r",(?=[A-Za-z_]\w*=)")
#: `NAME=FILE`, a network of BasicSR's registry with its weights.
NAMED_FILE = re.compile(r"([A-Za-z][\w.-]*)=(.+)")
#: What some of `RUN_KEYS` can be; the first is the default.
CHOICES = {
    "precision": PRECISIONS,
    "form": tuple(FORMS),
    "backend": ("native", "reference"),
}
#: Keys that say how to run a network; all others are options of the network.
RUN_KEYS = ("label", "engine", "threshold", "density", "param_key", "threads", "isa", *CHOICES)
OPTION_FILES = (".yml", ".yaml")
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors")
SMSR = "SMSR"


class NetworkError(ValueError):
    """A network cannot be had: one line that names it."""


@dataclass(frozen=True)
class NetworkArgument:
    """A network as it was asked for.

    Attributes:
        text: The argument.
        source: A registry name, or a file if `name` is not given with it.
        file: The file of `NAME=FILE`.
        options: Of the network's constructor, values as text.
        run: `RUN_KEYS` that were given, values as text.
    """

    text: str
    source: str
    file: Path | None
    options: Mapping[str, str]
    run: Mapping[str, str]


def parse_network(text: str) -> NetworkArgument:
    """Take an argument apart.

    Raises:
        NetworkError: If it is not of the form, or says something unknown of how to run it.
    """
    first, *entries = NEXT_OPTION.split(text)
    first = _from_home(first)
    named = None if Path(first).is_file() else NAMED_FILE.fullmatch(first)
    source, file = (named[1], Path(_from_home(named[2]))) if named else (first, None)
    if not source:
        raise NetworkError(f"{text!r}: expected the name of a network or a file first")
    values: dict[str, str] = {}
    for entry in entries:
        key, _, value = entry.partition("=")
        if key in values or not value:
            raise NetworkError(f"{text}: {key} {'is given twice' if value else 'has no value'}")
        values[key] = value
    run = {key: values.pop(key) for key in RUN_KEYS if key in values}
    for key, known in CHOICES.items():
        if run.get(key, known[0]) not in known:
            raise NetworkError(f"{text}: {key} must be one of {', '.join(known)}, got {run[key]!r}")
    return NetworkArgument(text, source, file, values, run)


def _from_home(text: str) -> str:
    """Return a name as it is, and a path with the home folder in place of `~`."""
    return os.path.expanduser(text)  # noqa: PTH111


def find_source(argument: NetworkArgument, scale: int) -> NetworkSource:
    """Tell by its form and its content what an argument stands for.

    Raises:
        NetworkError, CheckpointError, OptionError: If it stands for nothing that can be run.
    """
    path, key = Path(argument.source), argument.run.get("param_key")
    options = _plain_values(argument)
    if argument.file is not None:
        return _registered(argument.source, options, scale, argument.file, key)
    if path.suffix in OPTION_FILES:
        from smsr_plugin.training.options.file import read_option_network

        found = read_option_network(path)
        key = key or _key_in_file(found.weights, found.param_key)
        options = {**found.options, **options}
        return _registered(found.name, options, found.scale or scale, found.weights, key)
    if path.is_file() or path.suffix in CHECKPOINTS or len(path.parts) > 1:
        if options:
            raise NetworkError(f"{argument.text}: {', '.join(options)}: a file has no options")
        return _recognised(path, key)
    return _registered(argument.source, options, scale, None, key)


def _plain_values(argument: NetworkArgument) -> dict[str, Any]:
    if not argument.options:
        return {}
    from smsr_plugin.training.options.file import parse_yaml

    return {k: parse_yaml(v, f"{argument.text}: {k}") for k, v in argument.options.items()}


def _key_in_file(weights: Path | None, key: str | None) -> str | None:
    """Return the key if the file holds it: BasicSR takes what there is where it does not."""
    if weights is None or key is None:
        return None
    try:
        read_tensors(weights, param_key=key)
    except CheckpointError:
        return None
    return key


def _registered(
    name: str, options: Mapping[str, Any], scale: int, weights: Path | None, key: str | None
) -> NetworkSource:
    """Return a network of BasicSR's registry; its weights are tried, so that faults show now."""
    from smsr_plugin.training.registration import build_architecture

    built = build_architecture(name, options, scale)
    if built.num_in_ch != 3:
        raise NetworkError(f"{name}: takes {built.num_in_ch} channels, and the images are RGB")
    if name == SMSR and weights is not None:
        checkpoint = read(weights, param_key=key)
        config = replace(built.net.config, img_range=checkpoint.config.img_range)  # pyright: ignore
        if config != checkpoint.config:
            raise NetworkError(f"{weights}: holds {checkpoint.config}, asked for was {config}")
        return NetworkSource("smsr", SMSR, scale, weights, key)
    source = NetworkSource("registry", name, built.upscale, weights, key, dict(options))
    if weights is not None:
        source.load()
    return source


def _recognised(path: Path, key: str | None) -> NetworkSource:
    """Return a network with masks, or what spandrel takes the checkpoint for."""
    try:
        config = read(path, param_key=key).config
        return NetworkSource("smsr", SMSR, config.upscale, path, key)
    except CheckpointError as error:
        tensors = read_tensors(path, param_key=key)  # fails again where the file is at fault
        reason = error
    if (masked := load_masked(path, param_key=key)) is not None:
        return NetworkSource("masked", type(masked).__name__, masked.config.upscale, path, key)
    try:
        from smsr_plugin.networks.forms import SpandrelNet

        net = SpandrelNet(path)
    except ModuleNotFoundError as error:
        raise NetworkError(
            f"{reason}; spandrel, which knows other networks, is not installed (pip install "
            f'"smsr_plugin[spandrel]"); {_advice(path, tensors)}'
        ) from error
    except CheckpointError as error:
        raise NetworkError(f"{error}, and it is no SMSR; {_advice(path, tensors)}") from reason
    return NetworkSource("spandrel", net.name, net.upscale, path)


def _advice(path: Path, tensors: Mapping[str, Any]) -> str:
    known = network_of(tensors)
    example = f"{known.partition(' ')[0]}={path.name}" if known else f"NAME={path.name}"
    return f"a network of BasicSR's registry is given with its name: {example}"
