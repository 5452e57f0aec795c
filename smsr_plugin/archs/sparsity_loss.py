"""The sparsity regularisation of SMSR."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
        loss_weight: λ₀. The model multiplies by the warm-up, see `sparsity_weight` of
            `smsr_plugin.training.options.schedules`.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, spa_mask: Tensor, ch_mask: Tensor) -> Tensor:
        """Return the weighted loss, a scalar, from (B, K, H, W) and (N, K, C, L) masks."""
        return self.loss_weight * kept_computation(spa_mask, ch_mask).mean()
