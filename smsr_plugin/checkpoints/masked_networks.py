"""Files of networks with masks other than SMSR, told by the names and shapes of their tensors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Size, Tensor

from smsr_plugin.archs.density import POINTS
from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.archs.masked_rlfn_arch import MaskedRLFN
from smsr_plugin.archs.tile_masked import TileMasked
from smsr_plugin.archs.tile_networks import network_of
from smsr_plugin.archs.tile_program import CURVE
from smsr_plugin.checkpoints.any_network import read_tensors
from smsr_plugin.checkpoints.errors import CheckpointError
from smsr_plugin.checkpoints.files import write_file
from smsr_plugin.checkpoints.keys import clean_tensors, halved
from smsr_plugin.checkpoints.network import load
from smsr_plugin.checkpoints.shapes import find_mismatches
from smsr_plugin.checkpoints.shipped import default_weights
from smsr_plugin.version import __version__

#: By the names of `smsr_plugin.archs.tile_networks`.
NETWORKS: dict[str, Callable[..., TileMasked]] = {"MaskedRLFN": MaskedRLFN}
SUFFIX = ".safetensors"


def masked_network(state: Mapping[str, Tensor]) -> TileMasked | None:
    """Return the network with masks at tiles that a state dict belongs to, None if there is none.

    Raises:
        CheckpointError: If it is one, but not whole.
    """
    network = network_of(state)
    if network is None:
        return None
    try:
        with torch.device("meta"):
            net = NETWORKS[network.name](**network.options_of(state))
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"holds only part of a {network.name}: {error}") from error
    expected = {key: value.shape for key, value in net.state_dict().items()}
    if CURVE in state:
        expected[CURVE] = Size((1, POINTS))
    found = find_mismatches(state, expected)
    if any(found):
        raise CheckpointError(f"does not fit {network.name} ({found})")
    if CURVE in state:
        net.density_curve = state[CURVE]
    net.load_state_dict(dict(state), assign=True)
    return net.requires_grad_(False).eval()


def load_masked(path: str | os.PathLike[str], *, param_key: str | None = None) -> TileMasked | None:
    """Load a network with masks at tiles without running any code in the file.

    Returns:
        The network in evaluation mode, float32, on the CPU; None if the file holds another one.

    Raises:
        CheckpointError: If the file cannot be read, or holds a network that is not whole.
    """
    tensors = read_tensors(path, param_key=param_key)
    try:
        return masked_network(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error


def load_network(
    path: str | os.PathLike[str] | None = None,
    *,
    model: str | None = None,
    scale: int | None = None,
    param_key: str | None = None,
) -> MaskedNetwork:
    """Load any network with masks: an SMSR as `load` does, or one with masks at tiles.

    Args:
        path, scale, param_key: As of `load`.
        model: In place of a file, which of the package's networks; see `default_weights`.

    Raises:
        CheckpointError: As `load`.
    """
    path = default_weights(scale, model=model) if path is None else path
    try:
        return load(path, scale=scale, param_key=param_key)
    except CheckpointError:
        net = load_masked(path, param_key=param_key)
        if net is None:
            raise
    if scale not in (None, net.config.upscale):
        raise CheckpointError(
            f"{os.fspath(path)}: enlarges by {net.config.upscale}, but scale {scale} was asked for"
        )
    return net


def save_masked(
    net: TileMasked,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    *,
    half: bool = False,
) -> None:
    """Save a network with masks at tiles as safetensors, its name and shape in the header.

    An existing file is replaced whole or, if anything fails, not at all.

    Args:
        net: The network.
        path: Must end in .safetensors.
        metadata: Strings to keep in the header beside ours.
        half: Store weights as float16, which halves the file; the curve stays float32.

    Raises:
        CheckpointError: If the path does not end in .safetensors or cannot be written, or weights
            are not finite, in float16 where that is asked for.
    """
    header = {
        **(metadata or {}),
        "smsr_plugin": __version__,
        "network": type(net).__name__,
        "config": json.dumps(asdict(net.config)),
    }
    try:
        if Path(path).suffix != SUFFIX:
            raise CheckpointError(f"must end in {SUFFIX}")
        state = clean_tensors(net.state_dict())
        if half:
            state = halved(state, {name for name, _ in net.named_parameters()})
        write_file(Path(path), state, header)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error
