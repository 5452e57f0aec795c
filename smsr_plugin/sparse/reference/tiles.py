"""The steps of networks with masks at tiles, in plain PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.rlfn_arch import at_least_min_side
from smsr_plugin.archs.tile_predictor import detail_planes, of_tiles
from smsr_plugin.archs.tile_steps import (
    CONV_STRIDE,
    POOL_SIZE,
    POOL_STRIDE,
    Blend,
    DecideTiles,
    LocalAttention,
)


def tile_scores(step: DecideTiles[Tensor], lq: Tensor) -> Tensor:
    """Return the score of each pixel's tile, (B, K, H, W), of lq images."""
    planes = detail_planes(lq).to(step.conv1.dtype)
    hidden = F.relu(F.conv2d(planes, step.conv1, step.bias1, stride=2, padding=1))
    hidden = F.relu(F.conv2d(hidden, step.conv2, step.bias2, stride=2, padding=1))
    return of_tiles(F.conv2d(hidden, step.conv3, step.bias3, padding=1), *lq.shape[2:])


def skipped(step: Blend[Tensor], x: Tensor) -> Tensor:
    """Return what a blend gives to pixels that are not important, at every pixel."""
    out = _product(x, step.substitute, step.substitute_bias)
    if (narrow := step.narrow) is not None:
        hidden = F.leaky_relu(F.conv2d(x, narrow.conv, narrow.bias, padding=1), narrow.slope)
        out = out + _product(hidden, narrow.widen)
    return out


def local_attention(step: LocalAttention[Tensor], x: Tensor) -> Tensor:
    """Scale (B, C, H, W) by a coarse view of its surroundings."""
    squeezed = _product(x, step.squeeze, step.squeeze_bias)
    coarse = F.conv2d(at_least_min_side(squeezed), step.reduce, step.reduce_bias, CONV_STRIDE)
    coarse = F.max_pool2d(coarse, POOL_SIZE, POOL_STRIDE)
    coarse = F.conv2d(coarse, step.refine, step.refine_bias, padding=1)
    coarse = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
    mixed = coarse + _product(squeezed, step.mix, step.mix_bias)
    return x * torch.sigmoid(_product(mixed, step.excite, step.excite_bias))


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x, weight[..., None, None], bias)
