"""Masks by running quantiles: how a short training learns masks that follow the image.

The paper's soft masks and sparsity loss need hundreds of epochs; in a short training each block
ends up computing all or nothing. Here the density is not learned but set: it falls from
`density_start` to `density`, and after each step the last bias of every mask predictor is moved so
that threshold 0 keeps just that share of the recent pixels. Which pixels they are is learned,
from the pixel loss straight through the hard masks and from `DetailLoss`.

All of it is a function of the iteration and of what the checkpoint holds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from smsr_plugin.archs.density import density_curve, logits_at
from smsr_plugin.archs.gumbel import MaskSeeds
from smsr_plugin.archs.mask_losses import DetailLoss
from smsr_plugin.archs.masked import DensityNetwork, MaskedOutput
from smsr_plugin.training.model.mask_training import Forward
from smsr_plugin.training.options.train import MaskOptions

#: Least weight of a batch in the running curves: a few patches say little of all.
MOMENTUM = 0.01


class QuantileMasks:
    """Masks whose density is set.

    Args:
        net: The network; its channel masks are fixed from now on.
        options: `train.masks`.
        parts: Of each batch.
        loss: What teaches the logits where detail is.
        world_size: Of the processes that train together.
    """

    def __init__(
        self,
        net: DensityNetwork,
        options: MaskOptions,
        parts: int,
        loss: DetailLoss,
        world_size: int = 1,
    ) -> None:
        self.net, self.options, self.parts = net, options, parts
        self.loss, self.world_size = loss, world_size
        net.fix_channel_masks()
        self.curve: Tensor | None = None  # of the batch, once masks have begun

    def begin(
        self, lq: Tensor, seeds: MaskSeeds | None, current_iter: int, forward: Forward
    ) -> list[dict[str, Any]]:
        """Compute every pixel, or begin with masks if the network has no curve yet."""
        self.curve = None  # of a batch without a step
        straight = {"straight_through": True}
        if current_iter <= self.options.dense_iters:
            ones = lq.new_ones(len(lq), self.net.config.num_block, *lq.shape[2:])
            return [straight | {"spa_mask": part} for part in ones.tensor_split(self.parts)]
        if self.net.density_curve is None:
            with torch.no_grad():
                self.net.reset_logits()
                self.see(forward(lq, straight), 1.0)
            self.end(current_iter)
        return [straight] * self.parts

    def losses(
        self, out: MaskedOutput, reference: Tensor, lq: Tensor, current_iter: int
    ) -> dict[str, Tensor]:
        if out.logits is None:
            return {}
        first, last = self.loss.loss_weight, self.loss.end_weight
        weight = self.options.detail_weight(current_iter, first, last)
        return {"l_detail": weight * self.loss(out.logits, reference, lq)}

    @torch.no_grad()
    def see(self, out: MaskedOutput, share: float) -> None:
        if out.logits is None:
            return
        curve = share * density_curve(out.logits)
        self.curve = curve if self.curve is None else self.curve + curve

    def end(self, current_iter: int) -> None:
        """Set the density by the logits of the batch, in all processes alike."""
        curve, self.curve = self.curve, None
        if curve is None:
            return
        if self.world_size > 1:
            torch.distributed.all_reduce(curve)
            curve /= self.world_size
        batches = current_iter - self.options.dense_iters
        follow_density(self.net, curve, self.options.density_at(current_iter), batches)

    def schedules(self, current_iter: int) -> dict[str, float]:
        return {"density": self.options.density_at(current_iter)}


def follow_density(net: DensityNetwork, curve: Tensor, density: float, batches: int) -> None:
    """Take a batch's `density_curve` into the running ones; threshold 0 then keeps `density`.

    Args:
        net: The network.
        curve: That of the batch.
        density: The share of pixels to compute.
        batches: How many batches the masks have seen, this one included: as long as they are few,
            all weigh the same.
    """
    if net.density_curve is None:
        net.density_curve = curve.clone()
    else:
        net.density_curve.lerp_(curve, max(MOMENTUM, 1 / batches))
    net.shift_logits(logits_at(net.density_curve, density))
