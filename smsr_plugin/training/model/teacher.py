"""The teacher: a frozen network whose output is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from basicsr.archs import build_network
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from smsr_plugin.checkpoints import load_weights


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
