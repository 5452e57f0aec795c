"""Checkpoints to SMSR networks and back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.converted import CONFIG, FORMAT
from smsr_plugin.checkpoints.files import read_file, write_weights
from smsr_plugin.checkpoints.keys import (
    CONTAINERS,
    clean_tensors,
    find_state_dict,
    fold_img_range,
    rename_released,
)
from smsr_plugin.checkpoints.shapes import infer_config
from smsr_plugin.config import SMSRConfig
from smsr_plugin.version import __version__

#: Where BasicSR keeps weights that are not averaged.
PARAMS = "params"
#: Entries of a safetensors header that are ours.
RESERVED = (*FORMAT, "smsr_plugin", CONFIG)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was read, before anything is done to its weights.

    Attributes:
        state_dict: float32 CPU tensors under our key names, for `config.img_range`.
        config: Inferred from the shapes and the buffers.
        kind: What the file was, for people to read.
        metadata: The strings of a safetensors header; empty for other files.
        param_key: The entry that held the state dict, None for the file as a whole.
    """

    state_dict: dict[str, Tensor]
    config: SMSRConfig
    kind: str
    metadata: Mapping[str, str]
    param_key: str | None = None


def read(path: str | os.PathLike[str], *, param_key: str | None = None) -> Checkpoint:
    """Read a checkpoint of any known kind without running any code in it.

    Known are: the released SMSR weights; BasicSR's `net_g_*.pth`; a bare state dict, or one under
    `state_dict`; each also with the key prefix of DataParallel or torch.compile; and safetensors.

    Args:
        path: The file. What it is is told from its content, not from its name.
        param_key: The entry that holds the state dict. By default `params_ema`, `params` or
            `state_dict`, the first that exists, else the file as a whole.

    Raises:
        CheckpointError: If the file cannot be read or does not hold an SMSR; one line that
            begins with the path.
    """
    keys = CONTAINERS if param_key is None else (param_key,)
    return _read(path, keys, required=param_key is not None)


def read_state_dict(path: str | os.PathLike[str], *, param_key: str | None = None) -> Checkpoint:
    """Read a checkpoint's weights and configuration, choosing the entry as BasicSR does.

    Where the file does not hold `param_key`, `params` is taken, or else what `read` would take.
    The weights are for the checkpoint's own `config.img_range` (255 for the released ones); to
    load them into a network of another range, pass them through `fold_img_range` first.

    Raises:
        CheckpointError: As `read`, but never for an absent `param_key`.
    """
    keys = CONTAINERS if param_key is None else (param_key, PARAMS, *CONTAINERS)
    return _read(path, keys, required=False)


def interpret(
    root: object, *, param_keys: Sequence[str] = CONTAINERS, required: bool = False
) -> Checkpoint:
    """Make a checkpoint of what a PyTorch file held.

    Args:
        root: A state dict under any of the names that `read` knows, or a dict that holds one.
        param_keys: Where to look for it, preferred first.
        required: Refuse to take `root` itself where none of the keys exists.

    Raises:
        CheckpointError: If it does not hold an SMSR.
    """
    found, key = find_state_dict(root, param_keys, required)
    state, released = rename_released(clean_tensors(found))
    kind = "released SMSR weights" if released else "SMSR state dict"
    where = f" under {key!r}" if key else ""
    return Checkpoint(state, infer_config(state), kind + where, {}, key)


def _read(path: str | os.PathLike[str], param_keys: Sequence[str], required: bool) -> Checkpoint:
    try:
        content = read_file(Path(path))
        checkpoint = interpret(content.root, param_keys=param_keys, required=required)
        if content.metadata is None:
            return checkpoint
        _check_metadata(content.metadata, checkpoint.config)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error
    kind = f"{checkpoint.kind}, safetensors"
    return replace(checkpoint, kind=kind, metadata=content.metadata)


def build(checkpoint: Checkpoint) -> SMSR:
    """Return the network of a checkpoint, in evaluation mode, float32, on the CPU.

    Whatever the value range of the checkpoint, the network returned has img_range 1: see
    `fold_img_range`, by which it is the same function up to rounding.
    """
    config = replace(checkpoint.config, img_range=1.0)
    # Built without memory, so that no random weights are drawn from the caller's generator.
    with torch.device("meta"):
        net = SMSR.from_config(config)
    net.load_state_dict(fold_img_range(checkpoint.state_dict, config.img_range), assign=True)
    return net.eval()


def save_smsr(
    net: SMSR,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    *,
    half: bool = False,
) -> None:
    """Save an SMSR of any img_range, on any device, as `masked_networks.save` does.

    The header's own entries are `format`, `smsr_plugin` and `config`.
    """
    extra = {**checked_metadata(metadata), **FORMAT, "smsr_plugin": __version__}
    write_weights(
        net, path, lambda state: {**extra, CONFIG: json.dumps(infer_config(state).to_dict())}, half
    )


def checked_metadata(
    metadata: Mapping[str, str] | None, reserved: Sequence[str] = RESERVED
) -> dict[str, str]:
    """Return what a caller wants to keep in a header; CheckpointError if it does not fit there."""
    extra = dict(metadata or {})
    for key, value in extra.items():
        if not isinstance(key, str) or not isinstance(value, str) or key in reserved:
            raise CheckpointError(
                f"metadata must map strings other than {', '.join(reserved)} to strings, "
                f"got {key!r}: {value!r}"
            )
    return extra


def _check_metadata(metadata: Mapping[str, str], config: SMSRConfig) -> None:
    """Raise CheckpointError if a header of ours describes another network than the tensors."""
    if metadata.get("format") != FORMAT["format"]:
        return
    try:
        stored = SMSRConfig.from_dict(json.loads(metadata[CONFIG]))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"its header holds no valid configuration: {error}") from error
    if stored != config:
        raise CheckpointError(
            f"its header describes {stored}, but its tensors are those of {config}"
        )
