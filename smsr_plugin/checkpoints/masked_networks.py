"""Files of networks with masks: SMSR, and others told by the names and shapes of their tensors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import singledispatch
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from smsr_plugin.archs import tile_networks
from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.archs.masked_rlfn_arch import MaskedRLFN
from smsr_plugin.archs.masked_srvgg_arch import MaskedSRVGGNetCompact
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.tile_masked import TileMasked
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_tensors, write_weights
from smsr_plugin.checkpoints.network import (
    RESERVED,
    build,
    checked_metadata,
    read,
    save_smsr,
)
from smsr_plugin.checkpoints.shapes import expected_shapes, find_mismatches
from smsr_plugin.checkpoints.shipped import chosen_weights
from smsr_plugin.config import SMSRConfig
from smsr_plugin.version import __version__

#: The classes of `tile_networks`.
CLASSES: tuple[type[TileMasked], ...] = (MaskedRLFN, MaskedSRVGGNetCompact)


class Known(NamedTuple):
    """A network with masks whose files are known by their entries."""

    build: Callable[..., MaskedNetwork]  #: Its class.
    sign: str  #: An entry that only its state dict has.
    #: Returns the arguments that a state dict's shapes imply; raises KeyError, ValueError or
    #: IndexError if a tensor that tells is absent or has no such shape.
    options_of: Callable[[Mapping[str, Tensor]], dict[str, Any]]


_TILES = {network.name: network for network in tile_networks.NETWORKS}
NETWORKS: dict[str, Known] = {
    network.__name__: Known(
        network, _TILES[network.__name__].sign, _TILES[network.__name__].options_of
    )
    for network in CLASSES
}


def masked_network(state: Mapping[str, Tensor]) -> MaskedNetwork | None:
    """Return the network of `NETWORKS` that a state dict belongs to, None if there is none.

    Raises:
        CheckpointError: If it is one, but not whole.
    """
    name = next((name for name, known in NETWORKS.items() if known.sign in state), None)
    if name is None:
        return None
    known = NETWORKS[name]
    try:
        with torch.device("meta"):
            net = known.build(**known.options_of(state))
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"holds only part of a {name}: {error}") from error
    found = find_mismatches(state, expected_shapes(net, state))
    if any(found):
        raise CheckpointError(f"does not fit {name} ({found})")
    net.load_state_dict(dict(state), assign=True)
    return net.requires_grad_(False).eval()


def load_masked(
    path: str | os.PathLike[str], *, param_key: str | None = None
) -> MaskedNetwork | None:
    """Load a network of `NETWORKS` without running any code in the file.

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


class Found(NamedTuple):
    """What a file held."""

    net: MaskedNetwork  #: In evaluation mode, float32, on the CPU; from and to 0…1.
    kind: str  #: What the file was, for people to read.
    config: SMSRConfig | None  #: Of an SMSR, for the value range that is in the file.


def load_described(path: str | os.PathLike[str], *, param_key: str | None = None) -> Found:
    """Load any network with masks, an SMSR or one of `NETWORKS`, and say what the file held.

    Raises:
        CheckpointError: As `read`.
    """
    try:
        checkpoint = read(path, param_key=param_key)
        return Found(build(checkpoint), checkpoint.kind, checkpoint.config)
    except CheckpointError:
        net = load_masked(path, param_key=param_key)
        if net is None:
            raise
    return Found(net, f"{type(net).__name__} state dict", None)


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    model: str | None = None,
    scale: int | None = None,
    param_key: str | None = None,
) -> MaskedNetwork:
    """Load a network with masks: from a checkpoint of any kind that is known, or from the package.

    Args:
        path: The file: an SMSR's as `read` knows it, or one of `NETWORKS`. None: that of the
            environment variable SMSR_WEIGHTS, else the weights that come with the package.
        model: In place of a file, which of the package's networks; see `default_weights`.
        scale: What the network must enlarge by; 2 by default where the package's own are taken.
        param_key: As in `read`.

    Returns:
        The network in evaluation mode, float32, on the CPU. It takes and returns 0…1, whatever the
        value range of the checkpoint.

    Raises:
        CheckpointError: As `read`, if the network is for another scale, the package has none of the
            name or for the scale, or a file and a model are named.
    """
    path = chosen_weights(path, model, scale)
    net = load_described(path, param_key=param_key).net
    if scale not in (None, net.config.upscale):
        raise CheckpointError(
            f"{path}: enlarges by {net.config.upscale}, but scale {scale} was asked for; leave the "
            "scale out, or name other weights"
        )
    return net


@singledispatch
def save(
    net: MaskedNetwork,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    *,
    half: bool = False,
) -> None:
    """Save a network as safetensors, its name and shape in the header; an SMSR as `save_smsr` does.

    An existing file is replaced whole or, if anything fails, not at all.

    Args:
        net: The network.
        path: Must end in .safetensors.
        metadata: Strings to keep in the header beside ours.
        half: Store weights as float16, which halves the file; the curve stays float32.

    Raises:
        CheckpointError: If the network has no masks, the path does not end in .safetensors or
            cannot be written, the metadata are not strings or use a name of ours, or weights are
            not finite, in float16 where that is asked for.
    """
    if not isinstance(net, MaskedNetwork):
        kind = type(net).__name__
        raise CheckpointError(f"save takes a network with masks, such as SMSR, got a {kind}")
    header = {
        **checked_metadata(metadata, (*RESERVED, "network")),
        "smsr_plugin": __version__,
        "network": type(net).__name__,
        "config": json.dumps(asdict(cast(Any, net.config))),
    }
    write_weights(net, path, lambda _: header, half)


save.register(SMSR, save_smsr)
