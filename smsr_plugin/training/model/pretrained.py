"""Weights that a training of SMSR begins with."""

from __future__ import annotations

from pathlib import Path

import torch
from basicsr.utils import get_root_logger

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.smsr_state import CURVE
from smsr_plugin.checkpoints import fold_img_range, read_state_dict

#: What a file and `network_g` must have in common, if all of the file is to be loaded.
SAME = ("upscale", "num_feat", "num_layer", "num_block", "num_in_ch")


def pretrained_state(
    net: SMSR, path: str | Path, *, strict: bool, param_key: str | None
) -> dict[str, torch.Tensor]:
    """Return a checkpoint's tensors for `net`, in its value range; the log says which.

    Args:
        net: The network that is to load them.
        path: Any checkpoint that `smsr_plugin.load` reads.
        strict: Whether the file must fit; else every tensor of the network's shape is taken, of
            another scale's network say.
        param_key: The key of the weights, with BasicSR's way back to `params`.

    Raises:
        ValueError: If the file must fit and does not.
    """
    logger = get_root_logger()
    checkpoint = read_state_dict(path, param_key=param_key)
    state_dict, config = checkpoint.state_dict, checkpoint.config
    if checkpoint.param_key != param_key and not checkpoint.metadata:  # safetensors: no entries
        taken = f"its entry {checkpoint.param_key}"
        if checkpoint.param_key is None:
            taken = "the whole file, which holds the weights themselves,"
        logger.warning(f"{path} has no entry {param_key}: {taken} is taken.")
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
    if config.img_range != net.config.img_range:
        state_dict = fold_img_range(state_dict, net.config.img_range)
    if strict:
        logger.info(f"Loading SMSR from {path} [{checkpoint.param_key}].")
        return state_dict
    fitting = _what_fits(net, state_dict)
    own = net.state_dict().keys() - {CURVE}
    rest = sorted((own | state_dict.keys()) - fitting.keys())
    logger.info(
        f"Loading {len(fitting)} tensors of SMSR from {path}; "
        f"not taken, because they do not fit: {', '.join(rest) or 'none'}."
    )
    return fitting


def _what_fits(net: SMSR, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the network's shapes; its curve is new, with a row for each block."""
    own = {key: value.shape for key, value in net.state_dict().items() if key != CURVE}
    fitting = {key: value for key, value in state_dict.items() if own.get(key) == value.shape}
    curve = state_dict.get(CURVE)
    if curve is not None and len(curve) == len(net.blocks):
        fitting[CURVE] = curve
    return fitting
