"""torch.compile: inductor with frozen weights, which packs them and fuses convolutions with ReLU.

Compiled by the first run, during warm-up. Threads as in PyTorch eager.
"""

from __future__ import annotations

import torch

from smsr_plugin.compare.engines.base import Engine, Job
from smsr_plugin.compare.engines.pytorch import TorchEngine


class InductorEngine(TorchEngine):
    """Runs a compiled module."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.net = torch.compile(self.net, dynamic=False, options={"freezing": True})


def load(job: Job) -> Engine:
    """Load a network to be compiled when it first runs."""
    return InductorEngine(job)
