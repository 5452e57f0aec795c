"""One network on one image, as plain data that JSON keeps."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from smsr_plugin.images.quality import Quality
from smsr_plugin.timing import Summary, summarise

#: What tells a measurement: its network's label, set, image, and the density that was asked for.
Key = tuple[str, str, str, float | None]


class Difference(NamedTuple):
    """Between an output and that of the same network in float64, for values in 0…1."""

    max_abs: float
    psnr: float | None  #: −10·log10 of the mean squared difference, dB; None if there is none.


@dataclass(frozen=True)
class Measurement:
    """One network, run in one way, on one image.

    Attributes:
        network: Its label.
        set_name, image: The image.
        lq_size: Width and height of the lq image.
        quality: None without a ground truth, and for fresh weights, whose images mean nothing.
        seconds: Of each timed run, in order; empty where time was not measured.
        peak_mib: Peak memory of the network's process beyond the imported library since it was
            loaded (see `engines.worker`); where its process goes on to the next image, only the
            largest of all images says something. None where it cannot be known.
        running_peak_mib: The same after the warm-up.
        difference: From float64; None where it was not asked for.
        spa_densities: Each block's share of important pixels; None without masks.
        macs, activations: Those that the masks keep; None where they cannot be counted.
        breakdown: For each part of the network the seconds of each run; None where it was not asked
            for or the network has no such.
        loaded: What the engine says it loaded.
        wanted_density: The mean density that the threshold was chosen for; None elsewhere than in
            a sweep.
    """

    network: str
    set_name: str
    image: str
    lq_size: tuple[int, int]
    quality: Quality | None = None
    seconds: list[float] = field(default_factory=list)
    peak_mib: float | None = None
    running_peak_mib: float | None = None
    difference: Difference | None = None
    spa_densities: list[float] | None = None
    macs: float | None = None
    activations: float | None = None
    breakdown: dict[str, list[float]] | None = None
    loaded: str = ""
    wanted_density: float | None = None

    @property
    def key(self) -> Key:
        """By which measurements are told apart."""
        return self.network, self.set_name, self.image, self.wanted_density

    @property
    def summary(self) -> Summary | None:
        """Median and quartiles of the runs, seconds."""
        return summarise(self.seconds) if self.seconds else None

    @property
    def median(self) -> float | None:
        """The median of the runs, seconds."""
        return self.summary.median if self.summary else None

    @property
    def density(self) -> float | None:
        """The mean spatial density."""
        return statistics.fmean(self.spa_densities) if self.spa_densities else None

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can keep: an infinite PSNR becomes "inf"."""
        values = asdict(self)
        if self.quality is not None:
            quality = self.quality._asdict()
            values["quality"] = {k: "inf" if math.isinf(v) else v for k, v in quality.items()}
        values["difference"] = self.difference and self.difference._asdict()
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Measurement:
        """Return what `to_json` returned.

        Raises:
            TypeError, KeyError, ValueError: If the values are not that.
        """
        quality, difference = values["quality"], values["difference"]
        if quality is not None:
            quality = Quality(**{k: float(v) for k, v in quality.items()})
        if difference is not None:
            difference = Difference(**difference)
        width, height = values["lq_size"]
        kept = {"quality": quality, "difference": difference, "lq_size": (width, height)}
        return cls(**{**values, **kept})
