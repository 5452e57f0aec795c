"""PAN: a very small dense network, for comparison.

Zhao et al., "Efficient Image Super-Resolution Using Pixel Attention", ECCVW 2020, arXiv 2010.01073.
The modules have the published checkpoints' names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_batch, check_counts

NEGATIVE_SLOPE = 0.2
#: The factors of the upsampling steps for each scale.
STEPS = {1: (1,), 2: (2,), 3: (3,), 4: (2, 2)}


class PixelAttention(nn.Module):
    """Scales each value by a function of all channels at its pixel."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_feat, num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x))


class PixelAttentionConv(nn.Module):
    """k4(k3(x) · σ(k2(x))): a convolution with pixel attention, then another one."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.k2 = nn.Conv2d(num_feat, num_feat, 1)
        self.k3 = nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False)
        self.k4 = nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.k4(self.k3(x) * torch.sigmoid(self.k2(x)))


class SCPA(nn.Module):
    """Self-calibrated block with pixel attention: two half-width branches, fused, and residual."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        half = num_feat // 2
        self.conv1_a = nn.Conv2d(num_feat, half, 1, bias=False)
        self.conv1_b = nn.Conv2d(num_feat, half, 1, bias=False)
        self.k1 = nn.Sequential(nn.Conv2d(half, half, 3, padding=1, bias=False))
        self.PAConv = PixelAttentionConv(half)
        self.conv3 = nn.Conv2d(num_feat, num_feat, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        branches = []
        for reduce, conv in ((self.conv1_a, self.k1), (self.conv1_b, self.PAConv)):
            branch = conv(F.leaky_relu(reduce(x), NEGATIVE_SLOPE))
            branches.append(F.leaky_relu(branch, NEGATIVE_SLOPE))
        return x + self.conv3(torch.cat(branches, 1))


class PAN(nn.Module):
    """Pixel Attention Network.

    Args:
        num_in_ch: Channels of the lq image.
        num_out_ch: Channels of the output, as many as `num_in_ch`: the upsampled input is added.
        num_feat: Feature channels of the blocks, an even number.
        num_up_feat: Feature channels of the upsampler.
        num_block: Blocks.
        upscale: 1, 2, 3 or 4.

    Raises:
        ValueError: If an option is out of range.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 40,
        num_up_feat: int = 24,
        num_block: int = 16,
        upscale: int = 4,
    ) -> None:
        super().__init__()
        check_counts(
            "PAN",
            num_in_ch=num_in_ch,
            num_out_ch=num_out_ch,
            num_feat=num_feat,
            num_up_feat=num_up_feat,
            num_block=num_block,
            upscale=upscale,
        )
        if num_feat % 2:
            raise ValueError(f"PAN: num_feat must be even, got {num_feat}")
        if upscale not in STEPS:
            known = ", ".join(map(str, STEPS))
            raise ValueError(f"PAN: upscale must be one of {known}, got {upscale}")
        if num_out_ch != num_in_ch:
            raise ValueError(f"PAN: num_out_ch must be num_in_ch = {num_in_ch}, got {num_out_ch}")
        self.num_in_ch, self.upscale = num_in_ch, upscale
        self.conv_first = nn.Conv2d(num_in_ch, num_feat, 3, padding=1)
        self.SCPA_trunk = nn.Sequential(*(SCPA(num_feat) for _ in range(num_block)))
        self.trunk_conv = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        channels = num_feat
        for number, _ in enumerate(STEPS[upscale], 1):
            self.add_module(f"upconv{number}", nn.Conv2d(channels, num_up_feat, 3, padding=1))
            self.add_module(f"att{number}", PixelAttention(num_up_feat))
            self.add_module(f"HRconv{number}", nn.Conv2d(num_up_feat, num_up_feat, 3, padding=1))
            channels = num_up_feat
        self.conv_last = nn.Conv2d(num_up_feat, num_out_ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map lq images (B, num_in_ch, H, W), 0…1, to (B, num_out_ch, H·upscale, W·upscale).

        Any H and W from 1; the result is about 0…1, not clamped.
        Raises ValueError, and TypeError for what is no tensor of floating-point numbers.
        """
        check_batch("PAN", x, self.num_in_ch)
        head = self.conv_first(x)
        feature = self.trunk_conv(self.SCPA_trunk(head)) + head
        for number, factor in enumerate(STEPS[self.upscale], 1):
            feature = F.interpolate(feature, scale_factor=factor, mode="nearest")
            feature = self.get_submodule(f"upconv{number}")(feature)
            feature = self.get_submodule(f"att{number}")(feature)
            feature = F.leaky_relu(feature, NEGATIVE_SLOPE)
            feature = self.get_submodule(f"HRconv{number}")(feature)
            feature = F.leaky_relu(feature, NEGATIVE_SLOPE)
        base = F.interpolate(x, scale_factor=self.upscale, mode="bilinear", align_corners=False)
        return self.conv_last(feature) + base
