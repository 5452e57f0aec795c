"""What a network with masks computes for one image: the masks it chose, counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from smsr_plugin.archs.masked import MaskedNetwork, MaskedOutput
from smsr_plugin.complexity.masked_cost import masked_cost


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


def measured(net: MaskedNetwork, image: Tensor, threshold: float = 0.0) -> Measured:
    """Run a network on an image and count what its masks keep.

    Args:
        net: In evaluation mode, so that the masks are hard.
        image: lq image (1, num_in_ch, H, W), 0…1, on the network's device. Of a batch the mean
            over its images is returned.
        threshold: Of the spatial masks, as in `MaskedNetwork.forward`.

    Raises:
        ValueError: If the network is in training mode or the image does not fit it.
    """
    if net.training:
        raise ValueError("measured needs hard masks: call net.eval() first")
    with torch.inference_mode():
        output = cast(MaskedOutput, net(image, threshold=threshold, return_masks=True))
    densities = tuple(output.spa_mask.double().mean((0, 2, 3)).tolist())
    cost = masked_cost(net.program())
    pixels = image.shape[-2] * image.shape[-1]
    return Measured(densities, cost.macs(densities, pixels), cost.dense_macs(pixels))
