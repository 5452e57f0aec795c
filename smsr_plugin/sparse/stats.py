"""What a forward pass of the sparse network computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Cost(Protocol):
    """Multiply-adds as a function of the masks' densities."""

    def macs(self, spa_densities: Sequence[float], lq_pixels: int) -> int: ...

    def dense_macs(self, lq_pixels: int) -> int: ...


@dataclass(frozen=True)
class SparseStats:
    """Masks and multiply-adds of one forward pass.

    Attributes:
        spa_mask: (B, K, H, W) bool, the important pixels of each image and block.
        macs: Multiply-adds computed for each image of the batch, B numbers.
        macs_dense: Multiply-adds of one image if every pixel and channel were computed.
    """

    spa_mask: Tensor
    macs: tuple[float, ...]
    macs_dense: float

    @classmethod
    def of(cls, spa_mask: Tensor, cost: Cost) -> SparseStats:
        """Count what these masks, (B, K, H, W) bool, leave to compute of a network's `cost`."""
        pixels = spa_mask.shape[-2] * spa_mask.shape[-1]
        macs = tuple(cost.macs(image, pixels) for image in _density(spa_mask).tolist())
        return cls(spa_mask, macs, cost.dense_macs(pixels))

    @property
    def spa_density(self) -> Tensor:
        """(B, K) float32, the share of important pixels per image and block."""
        return _density(self.spa_mask)

    @property
    def kept(self) -> float:
        """The share of the dense multiply-adds that was computed, mean of the batch."""
        return sum(self.macs) / len(self.macs) / self.macs_dense


def _density(spa_mask: Tensor) -> Tensor:
    pixels = spa_mask.shape[-2] * spa_mask.shape[-1]
    return torch.count_nonzero(spa_mask, (-2, -1)) / pixels
