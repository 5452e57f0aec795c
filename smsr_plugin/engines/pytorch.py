"""PyTorch, channels-last, eager or compiled: any network, and every form of one with masks.

Beside them a large matrix product in float32: what the machine's arithmetic can reach in practice.

Threads: `torch.set_num_threads`, which the sparse network follows too. OpenMP's threads wait
between operations by spinning for some milliseconds and then sleep, its default, which is best for
latency; the pause between turns lets them fall asleep before another engine runs.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from smsr_plugin.archs.masked import MaskedNetwork, MaskedOutput
from smsr_plugin.engines.base import Engine, Image, Input, Inspection, Job
from smsr_plugin.engines.spec import COMPILED, MATMUL_SIDE
from smsr_plugin.networks.source import NetworkSource
from smsr_plugin.sparse import SparseNetwork

#: The backend that runs on the native kernels or, where they cannot run, fails.
NATIVE = "native"


class Prepared(NamedTuple):
    """A network and its input."""

    net: nn.Module
    x: Tensor


class TorchEngine(Engine):
    """Runs a module in inference mode."""

    def __init__(self, job: Job, source: NetworkSource) -> None:
        torch.set_num_threads(job.spec.threads)
        self.job, self.source = job, source
        self.net = self._build(None)
        if job.spec.backend == NATIVE:
            self.loaded = _instruction_set()
        if job.spec.backend == COMPILED:  # by the first run, during warm-up
            compiled = torch.compile(self.net, dynamic=False, options={"freezing": True})
            self.net = cast(nn.Module, compiled)

    def _build(self, threshold: float | None) -> nn.Module:
        spec = self.job.spec
        net = self.source.build(spec.precision, spec.backend, threshold)
        return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def prepare(self, given: Input) -> Prepared:
        # Converted anew, because what a threshold is folded into is the network's own affair.
        net = self.net if given.threshold is None else self._build(given.threshold)
        return Prepared(net, torch.from_numpy(given.lq))

    @torch.inference_mode()
    def run(self, prepared: Prepared) -> Tensor:
        return prepared.net(prepared.x)

    def output(self, result: Tensor) -> Image:
        return result.float().contiguous().numpy()

    @torch.inference_mode()
    def inspect(self, prepared: Prepared) -> Inspection:
        net, x = prepared
        if isinstance(net, MaskedNetwork):
            out = cast(MaskedOutput, net(x, return_masks=True))
            return Inspection(self.output(out.sr), out.spa_mask[0].mean((1, 2)).tolist())
        if isinstance(net, SparseNetwork):
            sr, stats = net(x, return_stats=True)
            return Inspection(self.output(sr), stats.spa_density[0].tolist())
        return super().inspect(prepared)

    @torch.inference_mode()
    def breakdown(self, prepared: Prepared) -> dict[str, float] | None:
        if isinstance(prepared.net, SparseNetwork) and prepared.net.backend == NATIVE:
            return prepared.net.breakdown(prepared.x)
        return None


def _instruction_set() -> str:
    """Return the instruction set that the native kernels chose; empty where there are none."""
    try:
        kernels: Any = importlib.import_module("smsr_plugin._kernels")
    except ImportError:
        return ""
    return kernels.isa()


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
    """Load a network in PyTorch, or the matrix product where there is none."""
    return MatmulEngine(job) if job.source is None else TorchEngine(job, job.source)
