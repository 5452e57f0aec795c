"""RLFN: a small dense network, for comparison.

Kong et al., "Residual Local Feature Network for Efficient Super-Resolution", CVPRW 2022,
arXiv 2205.07514. The modules have the published checkpoints' names.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_counts, check_tensor
from smsr_plugin.archs.masked_rlfn_program import ATTENTION_FEAT, BLOCK_NAMES, NEGATIVE_SLOPE
from smsr_plugin.archs.tile_steps import CONV_SIZE, CONV_STRIDE, MIN_SIDE, POOL_SIZE, POOL_STRIDE


class ESA(nn.Module):
    """Enhanced spatial attention: scales every value by a coarse view of its surroundings.

    With a = conv1(x), computes x · σ(conv4(resize(conv3(pool(conv2(a)))) + conv_f(a))). A side of a
    below `MIN_SIDE` is first continued by its last row or column.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, ATTENTION_FEAT, 1)
        self.conv_f = nn.Conv2d(ATTENTION_FEAT, ATTENTION_FEAT, 1)
        self.conv2 = nn.Conv2d(ATTENTION_FEAT, ATTENTION_FEAT, CONV_SIZE, CONV_STRIDE)
        self.conv3 = nn.Conv2d(ATTENTION_FEAT, ATTENTION_FEAT, 3, padding=1)
        self.conv4 = nn.Conv2d(ATTENTION_FEAT, num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to features of the same shape."""
        reduced = self.conv1(x)
        coarse = self.conv2(at_least_min_side(reduced))
        coarse = self.conv3(F.max_pool2d(coarse, POOL_SIZE, POOL_STRIDE))
        coarse = F.interpolate(coarse, x.shape[-2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(coarse + self.conv_f(reduced)))


def at_least_min_side(x: Tensor) -> Tensor:
    """Continue sides of (B, C, H, W) below `MIN_SIDE` by their last row or column."""
    rows, columns = (max(0, MIN_SIDE - side) for side in x.shape[-2:])
    return F.pad(x, (0, columns, 0, rows), mode="replicate") if rows or columns else x


class RLFB(nn.Module):
    """Residual local feature block: three convolutions, residual, 1×1 convolution, attention."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.c2_r = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.c3_r = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.c5 = nn.Conv2d(num_feat, num_feat, 1)
        self.esa = ESA(num_feat)

    def forward(self, x: Tensor) -> Tensor:
        feature = x
        for conv in (self.c1_r, self.c2_r, self.c3_r):
            feature = F.leaky_relu(conv(feature), NEGATIVE_SLOPE)
        return self.esa(self.c5(x + feature))


class RLFN(nn.Module):
    """Residual Local Feature Network; RLFN-S is the one with 48 features.

    Args:
        num_in_ch: Channels of the lq image.
        num_out_ch: Channels of the output.
        num_feat: Feature channels.
        upscale: Whole number from 1; published are 2 and 4.
        img_range: The network takes and returns 0…1 and works on values scaled by this inside.
            1 by default; the published weights need 255. It is not saved with the weights, whose
            names are those of the published ones.

    Raises:
        ValueError: If an option is out of range.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 52,
        upscale: int = 4,
        img_range: float = 1.0,
    ) -> None:
        super().__init__()
        check_counts(
            "RLFN", num_in_ch=num_in_ch, num_out_ch=num_out_ch, num_feat=num_feat, upscale=upscale
        )
        self.num_in_ch, self.num_out_ch, self.upscale = num_in_ch, num_out_ch, upscale
        self.img_range = float(img_range)
        if not 0 < self.img_range < math.inf:
            raise ValueError(f"RLFN: img_range must be above 0, got {img_range!r}")
        self.conv_1 = nn.Conv2d(num_in_ch, num_feat, 3, padding=1)
        for name in BLOCK_NAMES:
            self.add_module(name, RLFB(num_feat))
        self.conv_2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(num_feat, num_out_ch * upscale**2, 3, padding=1),
            nn.PixelShuffle(upscale),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map lq images (B, num_in_ch, H, W), 0…1, to (B, num_out_ch, H·upscale, W·upscale).

        H and W from `MIN_SIDE` = 15; the result is about 0…1, not clamped.
        Raises ValueError, and TypeError for what is no tensor of floating-point numbers.
        """
        check_tensor("RLFN", x, self.num_in_ch)
        if x.ndim != 4 or x.shape[1] != self.num_in_ch or min(x.shape[-2:]) < MIN_SIDE:
            raise ValueError(
                f"RLFN takes a batch of shape (B, {self.num_in_ch}, H, W) with H and W from "
                f"{MIN_SIDE}, because its attention pools without padding, got {tuple(x.shape)}; "
                "pad smaller images and crop the result"
            )
        head = feature = self.conv_1(x * self.img_range)
        for name in BLOCK_NAMES:
            feature = getattr(self, name)(feature)
        return self.upsampler(self.conv_2(feature) + head) / self.img_range
