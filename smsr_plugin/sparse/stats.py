"""What a forward pass of the sparse network computed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class SparseStats:
    """Densities and multiply-adds of one forward pass.

    Attributes:
        spa_density: (B, K) float, the share of important pixels per image and block.
        macs: Multiply-adds computed for each image of the batch, B numbers.
        macs_dense: Multiply-adds of one image if every pixel and channel were computed.
    """

    spa_density: Tensor
    macs: tuple[float, ...]
    macs_dense: float

    @property
    def kept(self) -> float:
        """The share of the dense multiply-adds that was computed, mean of the batch."""
        return sum(self.macs) / len(self.macs) / self.macs_dense
