"""What holds for a whole report: the network, the machine and how it was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smsr_plugin.machine import describe
from smsr_plugin.report.channels import SILENT
from smsr_plugin.report.detail import BLUR_SIGMA
from smsr_plugin.report.measurements import Subject
from smsr_plugin.report.speed import measure_parts
from smsr_plugin.sparse.native.kernels import load_kernels
from smsr_plugin.version import __version__

#: A load average, per usable core, above which a machine is called busy.
BUSY = 0.5


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True)
class Context:
    """What the page says beside its images. Make it before the first run, for the load average.

    Attributes:
        weights: The name of the checkpoint.
        runs: Of how many runs the times are medians.
        upscale: The scale of the network.
        precision: "fp32" or "bf16".
        threshold: Of the masks' decision.
        ch_mask: (K, L, C) bool, the sparse channels.
        kernels: The instruction set of the native kernels; None if plain PyTorch runs the network.
        threads: How many threads the network may use.
        machine: As `smsr_plugin.machine.describe` tells.
        made: Date and time.
        version: Of this package.
        blur_sigma, silent: See `detail` and `channels`.
    """

    weights: str
    runs: int
    upscale: int
    precision: str
    threshold: float
    ch_mask: NDArray[np.bool_]
    kernels: str | None
    threads: int = field(default_factory=torch.get_num_threads)
    machine: dict[str, Any] = field(default_factory=describe)
    made: str = field(default_factory=_now)
    version: str = __version__
    blur_sigma: float = BLUR_SIGMA
    silent: float = SILENT

    @property
    def is_busy(self) -> bool:
        """Whether other work took so much of the machine that times say little."""
        cores = self.machine["cores_usable"] or self.machine["cores"] or 1
        return self.machine["load_average"][0] > BUSY * cores

    @classmethod
    def of(cls, subject: Subject, weights: str, runs: int) -> Context:
        """Describe a network, and the machine as it is now."""
        probe = torch.zeros(1, subject.sparse.config.num_in_ch, 1, 1)
        kernels = load_kernels() if measure_parts(subject.sparse, probe, runs=1) else None
        return cls(
            weights,
            runs,
            subject.sparse.config.upscale,
            subject.sparse.precision,
            subject.sparse.threshold,
            subject.ch_mask,
            None if kernels is None else kernels.isa(),
        )
