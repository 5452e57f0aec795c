"""CARN: a dense network of SMSR's cost, for comparison.

Ahn et al., "Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network", ECCV
2018, arXiv 1803.08664. For one scale: 964K parameters at x2. The published 1592K are those of one
network with the upsamplers of x2, x3 and x4, of which a forward pass uses one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_batch, check_counts

#: Blocks of the network, and residual blocks of each block.
CASCADE_LENGTH = 3
#: The factors of the upsampling steps for each scale.
STEPS = {2: (2,), 3: (3,), 4: (2, 2)}


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a ReLU between, residual, ReLU."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class Cascade(nn.Module):
    """Runs blocks in a row; each one's input is a fusion of the cascade's input and all outputs.

    Args:
        blocks: What maps features to features of the same shape.
        num_feat: Feature channels.
    """

    def __init__(self, blocks: list[nn.Module], num_feat: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.fuses = nn.ModuleList(
            nn.Conv2d(num_feat * (number + 1), num_feat, 1) for number in range(1, len(blocks) + 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        feature, cascade = x, x
        for block, fuse in zip(self.blocks, self.fuses, strict=True):
            cascade = torch.cat([cascade, block(feature)], 1)
            feature = F.relu(fuse(cascade))
        return feature


class CARN(nn.Module):
    """Cascading Residual Network.

    Args:
        num_in_ch: Channels of the lq image.
        num_out_ch: Channels of the output.
        num_feat: Feature channels.
        upscale: 2, 3 or 4.

    Raises:
        ValueError: If an option is out of range.
    """

    def __init__(
        self, num_in_ch: int = 3, num_out_ch: int = 3, num_feat: int = 64, upscale: int = 4
    ) -> None:
        super().__init__()
        check_counts(
            "CARN", num_in_ch=num_in_ch, num_out_ch=num_out_ch, num_feat=num_feat, upscale=upscale
        )
        if upscale not in STEPS:
            known = ", ".join(map(str, STEPS))
            raise ValueError(f"CARN: upscale must be one of {known}, got {upscale}")
        self.num_in_ch = num_in_ch
        self.entry = nn.Conv2d(num_in_ch, num_feat, 3, padding=1)
        blocks: list[nn.Module] = [
            Cascade([ResidualBlock(num_feat) for _ in range(CASCADE_LENGTH)], num_feat)
            for _ in range(CASCADE_LENGTH)
        ]
        self.cascade = Cascade(blocks, num_feat)
        steps: list[nn.Module] = []
        for factor in STEPS[upscale]:
            steps.append(nn.Conv2d(num_feat, num_feat * factor**2, 3, padding=1))
            steps += [nn.ReLU(), nn.PixelShuffle(factor)]
        self.upsampler = nn.Sequential(*steps)
        self.exit = nn.Conv2d(num_feat, num_out_ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map lq images (B, num_in_ch, H, W), 0…1, to (B, num_out_ch, H·upscale, W·upscale).

        Any H and W from 1; the result is about 0…1, not clamped.
        Raises ValueError, and TypeError for what is no tensor of floating-point numbers.
        """
        check_batch("CARN", x, self.num_in_ch)
        return self.exit(self.upsampler(self.cascade(self.entry(x))))
