"""The paper's masks: Gumbel softmax at a falling τ, and the sparsity loss (Sections 3.2, 3.3)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from smsr_plugin.archs.gumbel import MaskNoise, MaskSeeds
from smsr_plugin.archs.mask_losses import SparsityLoss
from smsr_plugin.archs.masked import MaskedOutput
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.training.model.mask_training import Forward
from smsr_plugin.training.options.train import TrainOptions


class SoftMasks:
    """Masks that the sparsity loss makes sparse.

    Args:
        options: τ, λ's warm-up and the number of parts of a batch.
        loss: L_reg, with λ₀ in it.
    """

    def __init__(self, options: TrainOptions, loss: SparsityLoss) -> None:
        self.options, self.loss = options, loss

    def begin(
        self, net: SMSR, lq: Tensor, seeds: MaskSeeds | None, current_iter: int, forward: Forward
    ) -> list[dict[str, Any]]:
        """Draw the noise of the whole batch: a sample's is the same however the batch is cut."""
        noise = MaskNoise.draw(net.config, lq, seeds).split(self.options.accumulate)
        return [{"noise": part, "tau": self.options.tau(current_iter)} for part in noise]

    def losses(
        self, out: MaskedOutput, reference: Tensor, lq: Tensor, current_iter: int
    ) -> dict[str, Tensor]:
        warmup = self.options.warmup(current_iter)
        return {"l_sparsity": warmup * self.loss(out.spa_mask, out.ch_mask)}

    def see(self, out: MaskedOutput, share: float) -> None:
        """Nothing of a batch is kept."""

    def end(self, net: SMSR, current_iter: int) -> None:
        """Nothing follows a step."""

    def schedules(self, current_iter: int) -> dict[str, float]:
        weight = self.options.warmup(current_iter) * self.loss.loss_weight
        return {"tau": self.options.tau(current_iter), "lambda": weight}
