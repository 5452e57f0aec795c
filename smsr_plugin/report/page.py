"""The page: sections and context to one HTML text that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from smsr_plugin.machine import describe
from smsr_plugin.report.channels import SILENT
from smsr_plugin.report.detail import BLUR_SIGMA
from smsr_plugin.report.figures import threshold_text
from smsr_plugin.report.measurements import Subject
from smsr_plugin.report.section import Section
from smsr_plugin.report.speed import measure_parts
from smsr_plugin.sparse.native.kernels import load_kernels
from smsr_plugin.version import __version__

#: A load average, per usable core, above which a machine is called busy.
BUSY = 0.5


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


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


#: What stands for a number that does not exist.
UNKNOWN = "–"
#: The narrow space between a number and its unit, at which no line ends.
THIN = "\u202f"

#: The columns of the overview that are averaged.
AVERAGED = ("density", "kept", "seconds", "psnr_bicubic", "psnr_sr")


def render(sections: Sequence[Section], context: Context) -> str:
    """Return the page as HTML.

    Names of files are escaped; besides, the page forbids itself by its content security policy to
    load anything, and to run any script but its own.
    """
    environment = Environment(
        loader=PackageLoader("smsr_plugin.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (about, count, fixed, giga, ms, percent):
        environment.filters[function.__name__] = function
    environment.filters["threshold"] = threshold_text
    script, style = _resource("script.js"), _resource("style.css")
    return environment.get_template("page.html.j2").render(
        sections=sections,
        means={name: _mean([getattr(s, name) for s in sections]) for name in AVERAGED},
        context=context,
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(style),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def fixed(value: float | None, digits: int) -> str:
    """Return a number with some digits after the point."""
    if value is None or math.isnan(value):
        return UNKNOWN
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Return a share in 0…1 in percent."""
    return UNKNOWN if value is None else f"{value * 100:.0f}{THIN}%"


def about(value: float | None) -> str:
    """Return a number with three digits, or all those before the point."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits, 0), 6)}f}"


def giga(value: float) -> str:
    """Return a number of operations, in units of 10⁹."""
    return f"{about(value / 1e9)}{THIN}G"


def ms(seconds: float) -> str:
    """Return a time in milliseconds."""
    return f"{about(seconds * 1e3)}{THIN}ms"


def count(number: int, noun: str) -> str:
    """Return a number of things; the noun has a regular plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _resource(name: str) -> str:
    return resources.files("smsr_plugin.report").joinpath("templates", name).read_text("utf-8")
