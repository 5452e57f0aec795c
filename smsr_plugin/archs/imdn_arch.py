"""IMDN: a small dense network, for comparison.

Hui et al., "Lightweight Image Super-Resolution with Information Multi-distillation Network", ACM
MM 2019, arXiv 1909.11856. The modules have the published checkpoints' names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_batch, check_counts

NEGATIVE_SLOPE = 0.05
#: A block keeps 1/4 of its channels after each of four convolutions and refines the rest.
DISTILLATIONS = 4
#: By how much the attention reduces the channels.
ATTENTION_REDUCTION = 16
#: Below this the variance of a channel has no root with a usable gradient.
LEAST_VARIANCE = 1e-12


class ContrastAttention(nn.Module):
    """Contrast-aware channel attention: scales each channel by a function of all contrasts.

    The contrast of a channel is its standard deviation over the pixels plus its mean.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        reduced = max(1, num_feat // ATTENTION_REDUCTION)
        self.conv_du = nn.Sequential(
            nn.Conv2d(num_feat, reduced, 1),
            nn.ReLU(),
            nn.Conv2d(reduced, num_feat, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        # Spelled out, because not every exporter knows a standard deviation without correction.
        variance = (x - mean).square().mean((2, 3), keepdim=True)
        return x * self.conv_du(variance.clamp_min(LEAST_VARIANCE).sqrt() + mean)


class IMDB(nn.Module):
    """Information multi-distillation block."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.kept = num_feat // DISTILLATIONS
        self.passed_on = num_feat - self.kept
        self.c1 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.c2 = nn.Conv2d(self.passed_on, num_feat, 3, padding=1)
        self.c3 = nn.Conv2d(self.passed_on, num_feat, 3, padding=1)
        self.c4 = nn.Conv2d(self.passed_on, self.kept, 3, padding=1)
        self.cca = ContrastAttention(num_feat)
        self.c5 = nn.Conv2d(num_feat, num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        feature, distilled = x, []
        for conv in (self.c1, self.c2, self.c3):
            refined = F.leaky_relu(conv(feature), NEGATIVE_SLOPE)
            kept, feature = refined.split((self.kept, self.passed_on), 1)
            distilled.append(kept)
        distilled.append(self.c4(feature))
        return x + self.c5(self.cca(torch.cat(distilled, 1)))


class IMDN(nn.Module):
    """Information Multi-distillation Network.

    Args:
        num_in_ch: Channels of the lq image.
        num_out_ch: Channels of the output.
        num_feat: Feature channels, a multiple of 4.
        num_block: Blocks.
        upscale: Whole number from 1; published are 2, 3 and 4.

    Raises:
        ValueError: If an option is out of range.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_block: int = 6,
        upscale: int = 4,
    ) -> None:
        super().__init__()
        check_counts(
            "IMDN",
            num_in_ch=num_in_ch,
            num_out_ch=num_out_ch,
            num_feat=num_feat,
            num_block=num_block,
            upscale=upscale,
        )
        if num_feat % DISTILLATIONS:
            raise ValueError(f"IMDN: num_feat must be a multiple of 4, got {num_feat}")
        self.num_in_ch = num_in_ch
        self.fea_conv = nn.Conv2d(num_in_ch, num_feat, 3, padding=1)
        self.block_names = tuple(f"IMDB{number}" for number in range(1, num_block + 1))
        for name in self.block_names:
            self.add_module(name, IMDB(num_feat))
        self.c = nn.Sequential(
            nn.Conv2d(num_feat * num_block, num_feat, 1), nn.LeakyReLU(NEGATIVE_SLOPE)
        )
        self.LR_conv = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(num_feat, num_out_ch * upscale**2, 3, padding=1),
            nn.PixelShuffle(upscale),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map lq images (B, num_in_ch, H, W), 0…1, to (B, num_out_ch, H·upscale, W·upscale).

        Any H and W from 1; the result is about 0…1, not clamped.
        Raises ValueError, and TypeError for what is no tensor of floating-point numbers.
        """
        check_batch("IMDN", x, self.num_in_ch)
        head = feature = self.fea_conv(x)
        outputs = []
        for name in self.block_names:
            feature = getattr(self, name)(feature)
            outputs.append(feature)
        return self.upsampler(self.LR_conv(self.c(torch.cat(outputs, 1))) + head)
