"""Training iterations in PyTorch: forward, loss, backward, Adam's step.

The network is trained as `SMSRModel` does, or naively, which takes the formulas literally
(`naive_training`). Both begin with the same weights and take the same batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.gumbel import MaskNoise
from smsr_plugin.archs.mask_losses import SparsityLoss
from smsr_plugin.archs.masked import MaskedOutput
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.config import SPARSITY_WEIGHT
from smsr_plugin.engines.base import Engine, Image, Input, Job
from smsr_plugin.engines.naive_training import (
    NaiveTraining,
    gumbel_noise,
    naive_sparsity_loss,
)
from smsr_plugin.machine import keep_freed_memory

#: As `EngineSpec.backend`: features in this layout; the formulas literally.
CHANNELS_LAST, NAIVE = "channels-last", "naive"
TAU, LEARNING_RATE = 1.0, 2e-4


class Batch(NamedTuple):
    """What an iteration trains on."""

    lq: Tensor
    gt: Tensor


class TrainingEngine(Engine):
    """Takes steps on one batch, again and again."""

    def __init__(self, job: Job) -> None:
        keep_freed_memory()  # as `smsr train` does
        torch.set_num_threads(job.spec.threads)
        torch.manual_seed(0)
        self.spec = job.spec
        self.net = SMSR().train()
        tensors = {**dict(self.net.named_parameters()), **dict(self.net.named_buffers())}
        self.naive = NaiveTraining(self.net.config, tensors)
        self.sparsity_loss = SparsityLoss(SPARSITY_WEIGHT)
        self.optimizer = torch.optim.Adam(self.net.parameters(), LEARNING_RATE)

    def prepare(self, given: Input) -> Batch:
        lq, upscale = torch.from_numpy(given.lq), self.net.config.upscale
        gt = F.interpolate(lq, scale_factor=upscale, mode="nearest")
        if self.spec.backend == CHANNELS_LAST:
            lq = lq.contiguous(memory_format=torch.channels_last)
        return Batch(lq, gt)

    def run(self, prepared: Batch) -> Tensor:
        """Take a step and return its loss."""
        self.optimizer.zero_grad()
        loss = self._naive(prepared) if self.spec.backend == NAIVE else self._smsr(prepared)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def output(self, result: Tensor) -> Image:
        return result.float().view(1, 1, 1, 1).numpy()

    def _smsr(self, batch: Batch) -> Tensor:
        noise = MaskNoise.draw(self.net.config, batch.lq)
        with self._precision():
            out = self.net(batch.lq, tau=TAU, return_masks=True, noise=noise)
        out = cast(MaskedOutput, out)
        return F.l1_loss(out.sr.float(), batch.gt) + self.sparsity_loss(out.spa_mask, out.ch_mask)

    def _naive(self, batch: Batch) -> Tensor:
        noise = gumbel_noise(self.net.config, batch.lq)
        with self._precision():
            out = self.naive.forward(batch.lq, TAU, *noise)
        sparsity = SPARSITY_WEIGHT * naive_sparsity_loss(out.sparsity)
        return F.l1_loss(out.sr.float(), batch.gt) + sparsity

    def _precision(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.spec.precision == "bf16")


def load(job: Job) -> Engine:
    """Build a network with its optimizer."""
    return TrainingEngine(job)
