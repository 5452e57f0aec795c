"""A large matrix product in float32: what the machine's arithmetic can reach in practice."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from smsr_plugin.engines.base import Engine, Image, Input, Job
from smsr_plugin.engines.spec import MATMUL_SIDE


class MatmulEngine(Engine):
    """Multiplies two square matrices, whatever the input."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.spec.threads)
        self.out = torch.empty(MATMUL_SIDE, MATMUL_SIDE)

    def prepare(self, given: Input) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        first, second = torch.rand(2, MATMUL_SIDE, MATMUL_SIDE, generator=generator)
        return first, second

    @torch.inference_mode()
    def run(self, prepared: tuple[Tensor, Tensor]) -> Tensor:
        return torch.mm(*prepared, out=self.out)

    def output(self, result: Tensor) -> Image:
        return np.empty((0, 0, 0, 0), np.float32)


def load(job: Job) -> Engine:
    """Return the matrix product."""
    return MatmulEngine(job)
