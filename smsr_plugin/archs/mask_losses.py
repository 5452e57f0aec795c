"""The losses of masks: how much they keep, and where an image has detail."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Levels of 255 that count as no difference, so that flat areas are alike.
FLOOR = 0.3
#: Pixels of lq, each way, over which the difference is averaged.
WINDOW = 5
#: Standard deviation of the logits that are taught.
SPREAD = 2.0


def kept_computation(spa_mask: Tensor, ch_mask: Tensor) -> Tensor:
    """Return η, each block's expected share of its convolutions that is computed, (K,).

    The paper's mean over layers, channels, samples and pixels of M_ch·M_spa + (1 − M_ch)
    separates, because the two masks share no dimension: η = mean(M_ch)·mean(M_spa) +
    mean(1 − M_ch). No (B, C·L, H, W) tensor is needed.

    Args:
        spa_mask: (B, K, H, W) in 0…1, 1 = important.
        ch_mask: (N, K, C, L) in 0…1, 1 = sparse.

    Raises:
        ValueError: If the two do not agree on the number of blocks.
    """
    if spa_mask.ndim != 4 or ch_mask.ndim != 4 or spa_mask.shape[1] != ch_mask.shape[1]:
        raise ValueError(
            "expected spa_mask (B, K, H, W) and ch_mask (N, K, C, L) of the same K, got "
            f"{tuple(spa_mask.shape)} and {tuple(ch_mask.shape)}"
        )
    important, sparse = _means(spa_mask), _means(ch_mask)
    return sparse * important + (1 - sparse)


def _means(masks: Tensor) -> Tensor:
    """Return the mean of each block's mask, in float32 or wider."""
    return masks.mean((0, 2, 3), dtype=torch.promote_types(masks.dtype, torch.float32))


class SparsityLoss(nn.Module):
    """L_reg = mean over blocks of η, times a weight.

    Args:
        loss_weight: λ₀. The model multiplies it by the warm-up of `sparsity_warmup_epochs`.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, spa_mask: Tensor, ch_mask: Tensor) -> Tensor:
        """Return the weighted loss, a scalar, from (B, K, H, W) and (N, K, C, L) masks."""
        return self.loss_weight * kept_computation(spa_mask, ch_mask).mean()


def detail_target(reference: Tensor, lq: Tensor) -> Tensor:
    """Return what the logits of each pixel should be, up to a shift: (B, 1, H, W).

    The logarithm of how far the reference is from the bicubic upsample, with mean 0 and standard
    deviation `SPREAD` over the batch: where bicubic does well enough nothing need be computed.

    Args:
        reference: The ground truth or a teacher's output, (B, C, H·s, W·s), 0…1.
        lq: (B, C, H, W), 0…1.
    """
    scale = reference.shape[-1] // lq.shape[-1]
    bicubic = F.interpolate(lq, scale_factor=scale, mode="bicubic")
    difference = 255 * (reference - bicubic).abs().mean(1, keepdim=True)
    window = F.avg_pool2d(
        F.avg_pool2d(difference, scale), WINDOW, 1, WINDOW // 2, count_include_pad=False
    )
    level = (FLOOR + window).log()
    return SPREAD * (level - level.mean()) / level.std().clamp_min(1e-6)


class DetailLoss(nn.Module):
    """Smooth L1 between each block's logits, less their mean, and `detail_target`.

    Without it, hard masks drift to blocks that compute all or nothing.

    Args:
        loss_weight: Its weight where it begins, against a pixel loss in 0…1.
        end_weight: The weight that `train.masks.detail_iters` lets it fall to.
    """

    def __init__(self, loss_weight: float = 1 / 255, end_weight: float = 0.1 / 255) -> None:
        super().__init__()
        self.loss_weight, self.end_weight = loss_weight, end_weight

    def forward(self, logits: Tensor, reference: Tensor, lq: Tensor) -> Tensor:
        """Return the loss without its weight, a scalar, from logits (B, K, H, W)."""
        with torch.no_grad():
            target = detail_target(reference, lq).expand_as(logits)
        centred = logits - logits.mean((0, 2, 3), keepdim=True)
        return F.smooth_l1_loss(centred.float(), target)
