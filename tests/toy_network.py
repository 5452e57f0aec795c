"""A network with masks, as docs/adding.md says to add one: all that the package needs of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.gumbel import MaskNoise, hard_mask, soft_mask
from smsr_plugin.archs.masked import MaskedNetwork, MaskedOutput, check_input
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import RELU, Conv, Decide, Fuse, ImageConv, MaskedConv, Upsample
from smsr_plugin.checkpoints.masked_networks import NETWORKS, Known


@dataclass(frozen=True)
class ToyConfig:
    num_feat: int
    upscale: int
    num_in_ch: int = 3
    num_out_ch: int = 3
    num_layer: int = 1
    num_block: int = 1


class Toy(MaskedNetwork):
    """head → one block (a mask, a masked convolution, its fuse) → tail, and the nearest pixels.

    Args:
        num_feat: Feature channels.
        upscale: Whole number from 1.
    """

    def __init__(self, num_feat: int = 8, upscale: int = 2) -> None:
        super().__init__()
        self.config = ToyConfig(num_feat, upscale)
        self.toy_head = nn.Conv2d(3, num_feat, 3, padding=1)
        self.logits = nn.Conv2d(num_feat, 1, 3, padding=1)
        self.conv = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.fuse = nn.Conv2d(num_feat, num_feat, 1)
        self.tail = nn.Conv2d(num_feat, 3 * upscale**2, 3, padding=1)

    def forward(
        self,
        x: Tensor,
        tau: float = 1.0,
        threshold: float = 0.0,
        spa_mask: Tensor | None = None,
        return_masks: bool = False,
        noise: MaskNoise | None = None,
        straight_through: bool = False,
    ) -> Tensor | MaskedOutput:
        check_input("Toy", x, self.config, spa_mask)
        head = F.relu(self.toy_head(x))
        logits = None if spa_mask is not None else self.logits(head)
        if logits is not None:
            soft = self.training and not straight_through
            spa_noise = None if noise is None else noise.spa
            spa_mask = soft_mask(logits, tau, spa_noise) if soft else hard_mask(logits, threshold)
        feature = head + self.fuse(F.relu(self.conv(head)) * spa_mask)
        scale = self.config.upscale
        sr = F.pixel_shuffle(self.tail(feature), scale) + F.interpolate(x, scale_factor=scale)
        ch_mask = x.new_ones(1, 1, self.config.num_feat, 1)
        return MaskedOutput(sr, spa_mask, ch_mask, logits) if return_masks else sr

    @torch.no_grad()
    def program(self) -> Program[Tensor]:
        head = self.toy_head.weight
        ones = torch.zeros_like(head[:, :1])  # the image is not shifted
        fuse = self.fuse.weight.flatten(1)
        steps = (
            ImageConv("head", torch.cat([head, ones], 1), self.toy_head.bias, RELU),
            Conv(("head",), "logits", self.logits.weight, self.logits.bias, part="masks"),
            Decide("logits", 0),
            MaskedConv("head", "layer", 0, self.conv.weight, dense=0, bias=self.conv.bias),
            Fuse(("layer",), "block", 0, fuse, self.fuse.bias, add="head"),
            Conv(("block",), "residual", self.tail.weight, self.tail.bias, part="tail"),
            Upsample("residual", "nearest"),
        )
        return Program(3, 3, self.config.upscale, 1, steps)


def options_of(state: Mapping[str, Tensor]) -> dict[str, int]:
    return {
        "num_feat": len(state["toy_head.weight"]),
        "upscale": int((len(state["tail.weight"]) / 3) ** 0.5),
    }


NETWORKS["Toy"] = Known(Toy, "toy_head.weight", options_of)
