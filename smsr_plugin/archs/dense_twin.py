"""The dense twin: what a dense engine runs of an SMSR, every pixel computed and no masks."""

from __future__ import annotations

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.smsr_block import SparseMaskModule

#: PyTorch's bicubic interpolation by a whole factor reaches this many lq pixels to each side.
BICUBIC_REACH = 2


class DenseTwin(nn.Module):
    """An SMSR whose spatial masks are all ones, written as one would for a dense engine.

    The value range is folded into the first and last convolution, and the mean that the output
    gets back into the bicubic upsample, whose weights sum to 1. What is left of the mean is one
    subtraction from the three input channels: folded into the first convolution as well, it would
    be wrong at the border, where the zeros around x − mean are not zeros around x. The bicubic
    upsample is the 5×5 convolution that it equals (with the border pixels repeated), so that every
    engine runs it as fast as it runs convolutions; it is part of what is timed.

    With `to(bfloat16)` on `body`, the residual is computed in bf16 and the upsample in the dtype
    of the input, as `SparseNetwork` does.
    """

    mean: Tensor

    def __init__(self, net: SMSR) -> None:
        """Copy the weights of `net`, which is left as it is."""
        super().__init__()
        self.register_buffer("mean", net.get_buffer("rgb_mean").clone())
        self.body = DenseBody(net)
        self.base = _bicubic_convolution(net.config.num_in_ch, net.config.upscale)
        self.base.to(self.mean.dtype)
        self.shuffle = nn.PixelShuffle(net.config.upscale)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Map lq images (B, num_in_ch, H, W), 0…1, to (B, num_out_ch, H·s, W·s)."""
        base = self.base(F.pad(x, [BICUBIC_REACH] * 4, mode="replicate"))
        return self.shuffle(self.body(x - self.mean) + base)


class DenseBody(nn.Module):
    """Everything but the bicubic upsample and the pixel shuffle."""

    tail: nn.Conv2d

    def __init__(self, net: SMSR) -> None:
        super().__init__()
        img_range = net.get_buffer("img_range")
        self.head = copy.deepcopy(net.head)
        self.blocks = nn.ModuleList(
            DenseBlock(cast(SparseMaskModule, block)) for block in net.blocks
        )
        self.collect = copy.deepcopy(net.collect)
        self.tail = copy.deepcopy(cast(nn.Conv2d, net.tail[0]))
        with torch.no_grad():
            self.head.get_parameter("0.weight").mul_(img_range)
            for parameter in self.tail.parameters():
                parameter.div_(img_range)

    def forward(self, x: Tensor) -> Tensor:
        """Map x − mean to the residual before the pixel shuffle, (B, num_out_ch·s², H, W)."""
        dtype = x.dtype
        # A cast is a pass over the data in some engines, so there is none where none is needed.
        if self.tail.weight.dtype != dtype:
            x = x.to(self.tail.weight.dtype)
        head = feature = self.head(x)
        features = []
        for block in self.blocks:
            feature = block(feature)
            features.append(feature)
        residual = self.tail(self.collect(torch.cat(features, 1)) + head)
        return residual if residual.dtype == dtype else residual.to(dtype)


class DenseBlock(nn.Module):
    """A sparse mask module with all pixels important: its masks and their predictor are gone."""

    def __init__(self, block: SparseMaskModule) -> None:
        super().__init__()
        self.convs = copy.deepcopy(block.convs)
        self.fuse = copy.deepcopy(block.fuse)
        self.squeeze = copy.deepcopy(block.attention.squeeze)
        self.excite = copy.deepcopy(block.attention.excite)

    def forward(self, x: Tensor) -> Tensor:
        feature, features = x, []
        for conv in self.convs:
            feature = F.relu(conv(feature))
            features.append(feature)
        fused = self.fuse(torch.cat(features, 1))
        pooled = F.adaptive_avg_pool2d(fused, 1)
        return x + fused * torch.sigmoid(self.excite(F.relu(self.squeeze(pooled))))


def _bicubic_convolution(channels: int, upscale: int) -> nn.Conv2d:
    """Return the convolution whose output, pixel-shuffled, is PyTorch's bicubic upsample."""
    side = 2 * BICUBIC_REACH + 1
    # The response to a unit impulse at each place of the window, read at the window's centre.
    impulses = torch.eye(side**2, dtype=torch.float64).view(-1, 1, side, side)
    response = F.interpolate(impulses, scale_factor=upscale, mode="bicubic")
    centre = slice(BICUBIC_REACH * upscale, (BICUBIC_REACH + 1) * upscale)
    kernel = response[:, 0, centre, centre].flatten(1).t().reshape(-1, side, side)
    conv = nn.Conv2d(channels, channels * upscale**2, side, bias=False, dtype=torch.float64)
    conv.weight.data.zero_()
    for channel in range(channels):
        conv.weight.data[channel * upscale**2 : (channel + 1) * upscale**2, channel] = kernel
    return conv
