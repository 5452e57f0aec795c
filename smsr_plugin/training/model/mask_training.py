"""What a training does about masks: the paper's way, and masks by running quantiles.

The paper's soft masks and sparsity loss need hundreds of epochs; in a short training each block
ends up computing all or nothing. By quantiles the density is not learned but set: it falls from
`density_start` to `density`, and after each step the last bias of every mask predictor is moved so
that threshold 0 keeps just that share of the recent pixels. Which pixels they are is learned, from
the pixel loss straight through the hard masks and from `DetailLoss`. All of it is a function of the
iteration and of what the checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from smsr_plugin.archs.density import density_curve, logits_at
from smsr_plugin.archs.gumbel import MaskSeeds
from smsr_plugin.archs.mask_losses import DetailLoss, SparsityLoss
from smsr_plugin.archs.masked import DensityNetwork, MaskedNetwork, MaskedOutput
from smsr_plugin.training.options.train import MaskOptions, TrainOptions

#: Runs the network on lq images with arguments on its masks.
Forward = Callable[[Tensor, dict[str, Any]], MaskedOutput]

#: Least weight of a batch in the running curves: a few patches say little of all.
MOMENTUM = 0.01


class MaskTraining(Protocol):
    """A way to train masks; the calls of an iteration in their order."""

    def begin(
        self, lq: Tensor, seeds: MaskSeeds | None, current_iter: int, forward: Forward
    ) -> list[dict[str, Any]]:
        """Return the arguments on masks for each part of a batch.

        Args:
            lq: The whole batch, (B, C, H, W), 0…1.
            seeds: Of the noise; None to take PyTorch's own generator.
            current_iter: 1-based.
            forward: Runs the network without taking a step.
        """
        ...

    def losses(
        self, out: MaskedOutput, reference: Tensor, lq: Tensor, current_iter: int
    ) -> dict[str, Tensor]:
        """Return the losses on the masks of a part, each a scalar, by their names in the log."""
        ...

    def see(self, out: MaskedOutput, share: float) -> None:
        """Note the masks of a part, which is a share of the batch in 0…1."""
        ...

    def end(self, current_iter: int) -> None:
        """Follow the optimizer's step."""
        ...

    def schedules(self, current_iter: int) -> dict[str, float]:
        """Return what is set, not learned, in an iteration, for the log."""
        ...


class SoftMasks:
    """The paper's masks: Gumbel softmax at a falling τ, and the sparsity loss (Sections 3.2, 3.3).

    Args:
        net: The network.
        options: τ, λ's warm-up and the number of parts of a batch.
        loss: L_reg, with λ₀ in it.
    """

    def __init__(self, net: MaskedNetwork, options: TrainOptions, loss: SparsityLoss) -> None:
        self.net, self.options, self.loss = net, options, loss

    def begin(
        self, lq: Tensor, seeds: MaskSeeds | None, current_iter: int, forward: Forward
    ) -> list[dict[str, Any]]:
        """Draw the noise of the whole batch: a sample's is the same however the batch is cut."""
        noise = self.net.draw_noise(lq, seeds).split(self.options.accumulate)
        return [{"noise": part, "tau": self.options.tau(current_iter)} for part in noise]

    def losses(
        self, out: MaskedOutput, reference: Tensor, lq: Tensor, current_iter: int
    ) -> dict[str, Tensor]:
        warmup = self.options.warmup(current_iter)
        return {"l_sparsity": warmup * self.loss(out.spa_mask, out.ch_mask)}

    def see(self, out: MaskedOutput, share: float) -> None:
        """Nothing of a batch is kept."""

    def end(self, current_iter: int) -> None:
        """Nothing follows a step."""

    def schedules(self, current_iter: int) -> dict[str, float]:
        weight = self.options.warmup(current_iter) * self.loss.loss_weight
        return {"tau": self.options.tau(current_iter), "lambda": weight}


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
