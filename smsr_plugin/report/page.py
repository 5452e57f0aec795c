"""The page on images: their sections, and what holds for all of them, as one HTML text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smsr_plugin.machine import describe
from smsr_plugin.report import channels, charts, rendering
from smsr_plugin.report.detail import BLUR_SIGMA
from smsr_plugin.report.measurements import Subject
from smsr_plugin.report.section import Section
from smsr_plugin.report.speed import STEADY
from smsr_plugin.sparse.native.kernels import load_kernels

#: A load average, per usable core, above which a machine is called busy.
BUSY = 0.5
#: The columns of the overview that are averaged.
AVERAGED: dict[str, Callable[[Section], float | None]] = {
    "density": lambda s: s.figures.density,
    "kept": lambda s: s.figures.kept,
    "seconds": lambda s: s.figures.own.seconds,
    "psnr_bicubic": lambda s: s.figures.psnr_bicubic,
    "psnr_sr": lambda s: s.figures.psnr_sr,
}


@dataclass(frozen=True)
class Context:
    """What the page says beside its images. Make it before the first run, for the load average.

    Attributes:
        network: What the network is called.
        weights: The name of the checkpoint.
        upscale: The scale of the network.
        precision: "fp32" or "bf16".
        threshold: Of the masks' decision.
        ch_mask: (K, L, C) bool, the sparse channels, of an SMSR.
        kernels: The instruction set of the native kernels; None if plain PyTorch runs the network.
        threads: How many threads the network may use.
        machine: As `smsr_plugin.machine.describe` tells.
    """

    network: str
    weights: str
    upscale: int
    precision: str
    threshold: float
    ch_mask: NDArray[np.bool_] | None
    kernels: str | None
    threads: int = field(default_factory=torch.get_num_threads)
    machine: dict[str, Any] = field(default_factory=describe)

    @property
    def is_busy(self) -> bool:
        """Whether other work took so much of the machine that times say little."""
        cores = self.machine["cores_usable"] or self.machine["cores"] or 1
        return self.machine["load_average"][0] > BUSY * cores

    @classmethod
    def of(cls, subject: Subject, weights: str) -> Context:
        """Describe a network, and the machine as it is now."""
        sparse = subject.sparse
        kernels = load_kernels() if sparse.runs_native else None
        return cls(
            subject.name,
            weights,
            sparse.config.upscale,
            sparse.precision,
            sparse.threshold,
            subject.ch_mask,
            None if kernels is None else kernels.isa(),
        )


def render(sections: Sequence[Section], context: Context) -> str:
    """Return the page as HTML; see `rendering.render`."""
    return rendering.render(
        "images.html.j2",
        sections=sections,
        means={name: _mean([value(s) for s in sections]) for name, value in AVERAGED.items()},
        context=context,
        charts=charts,
        channels=channels,
        steady=STEADY,
        blur_sigma=BLUR_SIGMA,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
