"""What a network costs: parameters, multiply-adds, activations; and the least time of them.

    floor = 2 · kept multiply-adds / fp32 peak

The peak is measured: the fastest run of a large matrix product among the engines' turns. The floor
leaves out reading and writing memory, activations, masks, pooling and interpolation, and every
tile or vector that is only partly active. Two things may go below it: bf16, which has a higher
peak, and Winograd's convolution, F(4×4, 3×3), which needs 36 products where the direct one needs
144: `WINOGRAD_SAVING` = 4 is what it could gain at most, if all operations were 3×3 convolutions
(1×1 convolutions gain nothing) and its transforms cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.complexity.counter import lq_size, profile
from smsr_plugin.complexity.masked_cost import MaskedCost, masked_cost
from smsr_plugin.engines.spec import MATMUL_SIDE
from smsr_plugin.networks.source import NetworkSource

#: (H, W) of the output for which the field quotes multiply-adds.
OUTPUT_SIZE = (720, 1280)
WINOGRAD_SAVING = 144 / 36


class Cost(NamedTuple):
    """Of one forward pass; None where the network cannot be counted."""

    macs: float | None
    activations: float | None


class CostCounter:
    """Counts what a network computes.

    A sparse SMSR costs what its masks keep, other forms what they compute: every pixel.

    Args:
        source: The network.

    Attributes:
        params: Parameters, without an SMSR's channel mask logits.
        dense: The cost for `OUTPUT_SIZE`, whatever the masks.
    """

    def __init__(self, source: NetworkSource) -> None:
        net = source.build("fp32") if source.form == "twin" else source.load()
        masks = [p for name, p in net.named_parameters() if name.endswith(".ch_mask")]
        self.params = sum(p.numel() for p in net.parameters()) - sum(p.numel() for p in masks)
        self.sparse: MaskedCost | None = None
        if isinstance(net, MaskedNetwork) and source.form == "sparse":
            self.sparse = masked_cost(net.program())
        self._net = net.to("meta")
        self._known: dict[tuple[int, int], Cost] = {}
        self._size = lq_size(OUTPUT_SIZE, source.upscale)
        self.dense = self._count(self._size)

    def of_image(self, size: tuple[int, int], spa_densities: Sequence[float] | None) -> Cost:
        """Return the cost for an lq image of (H, W) with its masks, if it has any."""
        if self.sparse is None or spa_densities is None:
            return self._count(size)
        pixels = size[0] * size[1]
        return Cost(
            self.sparse.macs(spa_densities, pixels), self.sparse.activations(spa_densities, pixels)
        )

    def kept(self, spa_densities: Sequence[float] | None) -> Cost:
        """Return the cost for `OUTPUT_SIZE` at given densities, if the masks save any."""
        return self.of_image(self._size, spa_densities)

    def _count(self, size: tuple[int, int]) -> Cost:
        if size not in self._known:
            try:
                counted = profile(self._net, size)
                cost = Cost(counted.macs, counted.activations)
            except ValueError:
                cost = Cost(None, None)
            self._known[size] = cost
        return self._known[size]


def peak_flops(seconds: Sequence[float]) -> float:
    """Return operations per second (a multiply-add is two) of the fastest matrix product."""
    return 2 * MATMUL_SIDE**3 / min(seconds)


def floor_seconds(macs: float, flops: float) -> float:
    """Return the least time of `macs` multiply-adds at `flops` operations per second."""
    return 2 * macs / flops
