"""Weights that a training of a network with masks begins with, and its teacher, which is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from basicsr.archs import build_network
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.smsr_program import PEAKS
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import load_weights, read_tensors
from smsr_plugin.checkpoints.keys import fold_img_range
from smsr_plugin.checkpoints.network import PARAMS, read_state_dict

#: What a file and `network_g` must have in common, if all of the file is to be loaded.
SAME = ("upscale", "num_feat", "num_layer", "num_block", "num_in_ch")


def pretrained_state(
    net: MaskedNetwork, path: str | Path, *, strict: bool, param_key: str | None, is_train: bool
) -> dict[str, torch.Tensor]:
    """Return a checkpoint's tensors for `net`; the log says which.

    Args:
        net: The network that is to load them.
        path: The checkpoint; of an SMSR any that `smsr_plugin.load` reads, of any value range.
        strict: Whether the file must fit; else every tensor of the network's shape is taken, of
            another scale's network say.
        param_key: The key of the weights, with BasicSR's way back to `params`.
        is_train: Whether the weights are to change. The peaks that were chosen for them would then
            be those of others, and are left.

    Raises:
        ValueError: If the file must fit and does not.
    """
    logger, name = get_root_logger(), type(net).__name__
    state_dict, key = _read(net, path, strict, param_key)
    if is_train:
        state_dict = {key: value for key, value in state_dict.items() if key != PEAKS}
    if strict:
        logger.info(f"Loading {name} from {path} [{key}].")
        return state_dict
    fitting = _what_fits(net, state_dict)
    own = net.state_dict().keys() - net.optional_shapes.keys()
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
    """Return the tensors of the network's shapes, those too that it can have and has not yet."""
    own = {key: value.shape for key, value in net.state_dict().items()} | net.optional_shapes
    return {key: value for key, value in state_dict.items() if own.get(key) == value.shape}


class LargerTeacher(nn.Module):
    """A teacher for a larger scale than the student's: its output is reduced to the student's size.

    The lq images of all scales are alike: each has been filtered for its own grid. A network for x4
    therefore knows what an x3 image needs, where there is no teacher for x3.

    Args:
        net: A network that enlarges by more than `scale`.
        scale: What the student enlarges by.
    """

    def __init__(self, net: nn.Module, scale: int) -> None:
        super().__init__()
        self.net, self.scale = net, scale

    def forward(self, lq: Tensor) -> Tensor:
        """Return sr, (B, C, H·scale, W·scale), from lq (B, C, H, W), both in 0…1."""
        size = [self.scale * side for side in lq.shape[2:]]
        return F.interpolate(self.net(lq).float(), size, mode="bicubic", antialias=True)


def build_teacher(opt: Mapping[str, Any], device: torch.device) -> nn.Module | None:
    """Build `network_t`, frozen, from `path.pretrain_network_t`; None if there is none.

    Args:
        opt: All options of the training.
        device: Where it runs.

    Raises:
        ValueError: If an option that a teacher needs is missing, or its scale is too small.
    """
    section, path = opt.get("network_t"), opt["path"]
    if bool(section) != bool(opt["train"].get("teacher_opt")):
        raise ValueError(
            "a teacher needs both network_t, its network, and train.teacher_opt, the loss "
            "against its output, e.g. {type: L1Loss, loss_weight: 1.0, reduction: mean}"
        )
    if not section:
        return None
    if "network_t" not in (path.get("ignore_resume_networks") or ()):
        raise ValueError(
            "path.ignore_resume_networks must be [network_t]: the teacher is not trained, and "
            "a resumed training loads it from path.pretrain_network_t as well"
        )
    weights = path.get("pretrain_network_t")
    if weights is None:
        raise ValueError("path.pretrain_network_t is missing: the teacher's weights")
    scale = opt["scale"]
    upscale = section.get("upscale", scale)
    if upscale < scale:
        raise ValueError(f"network_t.upscale must be at least {scale}, the scale, got {upscale}")
    net = build_network(section).to(device).requires_grad_(False).eval()
    load_weights(net, weights, param_key=path.get("param_key_t"))
    reduced = f", its x{upscale} reduced to x{scale}" if upscale > scale else ""
    get_root_logger().info(f"Teacher: {section['type']} from {weights}{reduced}.")
    return LargerTeacher(net, scale) if upscale > scale else net
