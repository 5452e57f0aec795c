"""The teacher: a frozen network whose output is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.utils import get_root_logger
from torch import nn

from smsr_plugin.checkpoints import load_weights


def build_teacher(opt: Mapping[str, Any], device: torch.device) -> nn.Module | None:
    """Build `network_t`, frozen, from `path.pretrain_network_t`; None if there is none.

    Args:
        opt: All options of the training.
        device: Where it runs.

    Raises:
        ValueError: If one of the options that a teacher needs is missing, or its scale is another.
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
    upscale = section.get("upscale", opt["scale"])
    if upscale != opt["scale"]:
        raise ValueError(f"network_t.upscale must be {opt['scale']}, the scale, got {upscale}")
    net = build_network(section).to(device).requires_grad_(False).eval()
    load_weights(net, weights, param_key=path.get("param_key_t"))
    get_root_logger().info(f"Teacher: {section['type']} from {weights}.")
    return net
