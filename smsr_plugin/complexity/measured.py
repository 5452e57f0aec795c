"""What an SMSR computes for one image: the masks it chose, counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from smsr_plugin.archs.masked import MaskedOutput
from smsr_plugin.archs.smsr_arch import SMSR, SparseMaskModule
from smsr_plugin.complexity.smsr_cost import SMSRCost


@dataclass(frozen=True)
class Measured:
    """Densities and multiply-adds of one image, or the mean over a batch.

    Attributes:
        spa_densities: For each block the share of important pixels, in 0…1.
        macs: Multiply-adds with the masks.
        dense_macs: Multiply-adds with every channel and pixel computed.
    """

    spa_densities: tuple[float, ...]
    macs: int
    dense_macs: int

    @property
    def kept(self) -> float:
        """Share of the multiply-adds that is kept, in 0…1."""
        return self.macs / self.dense_macs


def dense_channels(net: SMSR) -> tuple[tuple[int, ...], ...]:
    """Return the number of dense output channels of each layer of each block, K×L.

    A channel is dense where its mask logit 1 does not exceed its logit 0.
    """
    blocks = cast(list[SparseMaskModule], list(net.blocks))
    logits = torch.stack([block.ch_mask.detach()[0] for block in blocks])
    dense = ~(logits[..., 1] > logits[..., 0])
    return tuple(tuple(layers) for layers in dense.sum(1).tolist())


def measured(net: SMSR, image: Tensor, threshold: float = 0.0) -> Measured:
    """Run a network on an image and count what its masks keep.

    Args:
        net: In evaluation mode, so that the masks are hard.
        image: lq image (1, num_in_ch, H, W), 0…1, on the network's device. Of a batch the mean
            over its images is returned.
        threshold: Of the spatial masks, as in `SMSR.forward`.

    Raises:
        ValueError: If the network is in training mode or the image does not fit it.
    """
    if net.training:
        raise ValueError("measured needs hard masks: call net.eval() first")
    with torch.inference_mode():
        output = cast(MaskedOutput, net(image, threshold=threshold, return_masks=True))
    densities = tuple(output.spa_mask.double().mean((0, 2, 3)).tolist())
    cost = SMSRCost(net.config, dense_channels(net))
    pixels = image.shape[-2] * image.shape[-1]
    return Measured(densities, cost.macs(densities, pixels), cost.dense_macs(pixels))
