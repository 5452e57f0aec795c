"""Masks from the lq image, before the network runs, at whole tiles of 4×4 pixels.

The engine's kernels work on such tiles: none is ever partly active, and every list of active tiles
is known before the first convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.tile_program import PREDICTOR_FEAT
from smsr_plugin.archs.tile_steps import EVENNESS, GRADIENT_SIDE, LEVELS, MEAN_SIDES, TILE


def detail_planes(lq: Tensor) -> Tensor:
    """Return what the predictor sees of an image, (B, 2·num_in_ch + 1, H, W), all from 0.

    log(1 + 255·d), where d is |x − its mean over 3×3 pixels|, the same over 7×7, and the largest
    gradient |∂x| + |∂y| of the channels' mean within 5×5 pixels. Windows end at the image's edge.

    Args:
        lq: (B, num_in_ch, H, W), 0…1.
    """
    planes = [(lq - _mean_around(lq, side)).abs() for side in MEAN_SIDES]
    grey = F.pad(lq.mean(1, keepdim=True), (0, 1, 0, 1), mode="replicate")
    across = grey[..., :-1, 1:] - grey[..., :-1, :-1]
    down = grey[..., 1:, :-1] - grey[..., :-1, :-1]
    gradient = across.abs() + down.abs()
    planes.append(F.max_pool2d(gradient, GRADIENT_SIDE, 1, GRADIENT_SIDE // 2))
    return torch.log1p(LEVELS * torch.cat(planes, 1))


def _mean_around(x: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)


class TilePredictor(nn.Module):
    """Scores of tiles: a block computes those above the threshold.

    Args:
        num_in_ch: Channels of the lq image.
        num_block: K, one score for each block.
    """

    def __init__(self, num_in_ch: int, num_block: int) -> None:
        super().__init__()
        planes = len(MEAN_SIDES) * num_in_ch + 1
        self.conv1 = nn.Conv2d(planes, PREDICTOR_FEAT, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(PREDICTOR_FEAT, PREDICTOR_FEAT, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(PREDICTOR_FEAT, num_block, 3, padding=1)

    def forward(self, lq: Tensor) -> Tensor:
        """Map lq images (B, num_in_ch, H, W) to scores (B, K, ⌈H/4⌉, ⌈W/4⌉)."""
        return even(self.worth(lq))

    def worth(self, lq: Tensor) -> Tensor:
        """Map lq images to what tiles are worth: the logarithm of what skipping them costs, less a
        constant, in a unit that the fit has chosen."""
        hidden = F.relu(self.conv1(detail_planes(lq)))
        return self.conv3(F.relu(self.conv2(hidden)))


def even(worth: Tensor) -> Tensor:
    """Return scores of tiles, comparable between images: worth less a share of its mean.

    Args:
        worth: (B, K, ⌈H/4⌉, ⌈W/4⌉); the mean is of all tiles and blocks of an image.
    """
    return worth - EVENNESS * worth.mean((1, 2, 3), keepdim=True)


def of_tiles(values: Tensor, height: int, width: int) -> Tensor:
    """Give each pixel the value of its tile: (B, K, ⌈H/4⌉, ⌈W/4⌉) to (B, K, H, W)."""
    repeated = values.repeat_interleave(TILE, 2).repeat_interleave(TILE, 3)
    return repeated[..., :height, :width]
