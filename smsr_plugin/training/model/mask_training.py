"""What a training does about masks, and the paper's way to do it; `quantile_masks` is another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from smsr_plugin.archs.gumbel import MaskSeeds
from smsr_plugin.archs.mask_losses import SparsityLoss
from smsr_plugin.archs.masked import MaskedNetwork, MaskedOutput
from smsr_plugin.training.options.train import TrainOptions

#: Runs the network on lq images with arguments on its masks.
Forward = Callable[[Tensor, dict[str, Any]], MaskedOutput]


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
