"""Weights that a training of a network with masks begins with."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path

import torch
from basicsr.utils import get_root_logger

from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.smsr_state import CURVE
from smsr_plugin.checkpoints import CheckpointError, fold_img_range, read_state_dict, read_tensors
from smsr_plugin.checkpoints.network import PARAMS

#: What a file and `network_g` must have in common, if all of the file is to be loaded.
SAME = ("upscale", "num_feat", "num_layer", "num_block", "num_in_ch")


def pretrained_state(
    net: MaskedNetwork, path: str | Path, *, strict: bool, param_key: str | None
) -> dict[str, torch.Tensor]:
    """Return a checkpoint's tensors for `net`; the log says which.

    Args:
        net: The network that is to load them.
        path: The checkpoint; of an SMSR any that `smsr_plugin.load` reads, of any value range.
        strict: Whether the file must fit; else every tensor of the network's shape is taken, of
            another scale's network say.
        param_key: The key of the weights, with BasicSR's way back to `params`.

    Raises:
        ValueError: If the file must fit and does not.
    """
    logger, name = get_root_logger(), type(net).__name__
    state_dict, key = _read(net, path, strict, param_key)
    if strict:
        logger.info(f"Loading {name} from {path} [{key}].")
        return state_dict
    fitting = _what_fits(net, state_dict)
    own = net.state_dict().keys() - {CURVE}
    rest = sorted((own | state_dict.keys()) - fitting.keys())
    logger.info(
        f"Loading {len(fitting)} tensors of {name} from {path}; "
        f"not taken, because they do not fit: {', '.join(rest) or 'none'}."
    )
    return fitting


@singledispatch
def _read(
    net: MaskedNetwork, path: str | Path, strict: bool, param_key: str | None
) -> tuple[dict[str, torch.Tensor], str | None]:
    """Return the tensors, in the network's value range, and the entry that held them."""
    try:
        return read_tensors(path, param_key=param_key), param_key
    except CheckpointError:
        if param_key in (None, PARAMS):
            raise
        tensors = read_tensors(path, param_key=PARAMS)
    get_root_logger().warning(f"{path} has no entry {param_key}: its entry {PARAMS} is taken.")
    return tensors, PARAMS


@_read.register
def _(
    net: SMSR, path: str | Path, strict: bool, param_key: str | None
) -> tuple[dict[str, torch.Tensor], str | None]:
    checkpoint = read_state_dict(path, param_key=param_key)
    config = checkpoint.config
    if checkpoint.param_key != param_key and not checkpoint.metadata:  # safetensors: no entries
        taken = f"its entry {checkpoint.param_key}"
        if checkpoint.param_key is None:
            taken = "the whole file, which holds the weights themselves,"
        get_root_logger().warning(f"{path} has no entry {param_key}: {taken} is taken.")
    differing = [
        f"{name} {getattr(config, name)} in the file, {getattr(net.config, name)} in network_g"
        for name in SAME
        if getattr(config, name) != getattr(net.config, name)
    ]
    if strict and differing:
        raise ValueError(
            f"{path} does not fit network_g: {'; '.join(differing)}; with "
            "path.strict_load_g: false the tensors that fit are taken"
        )
    state_dict = checkpoint.state_dict
    if config.img_range != net.config.img_range:
        state_dict = fold_img_range(state_dict, net.config.img_range)
    return state_dict, checkpoint.param_key


def _what_fits(net: MaskedNetwork, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the network's shapes; its curve is new, with a row for each block."""
    own = {key: value.shape for key, value in net.state_dict().items() if key != CURVE}
    fitting = {key: value for key, value in state_dict.items() if own.get(key) == value.shape}
    curve = state_dict.get(CURVE)
    if curve is not None and len(curve) == net.config.num_block:
        fitting[CURVE] = curve
    return fitting
