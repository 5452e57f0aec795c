"""Everything that was measured, as plain data that JSON keeps."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from smsr_plugin.compare.engines.results import Conditions
from smsr_plugin.images.quality import Quality
from smsr_plugin.timing import summarise


@dataclass(frozen=True)
class Measurement:
    """One network on one image.

    Attributes:
        network: Its label.
        set_name, image: The image.
        lq_size: Width and height of the lq image.
        quality: None for fresh weights, whose images mean nothing.
        seconds: Of each timed run, in order; empty where time was not measured.
        peak_mib: Peak memory of the network's process beyond the imported library since it was
            loaded; as its process goes on to the next image, only the largest of all images says
            something. None where it cannot be known.
        spa_densities: Each block's share of important pixels; None without masks.
        macs: Multiply-adds, those that the masks keep; None where they cannot be counted.
        loaded: What the engine says it loaded.
    """

    network: str
    set_name: str
    image: str
    lq_size: tuple[int, int]
    quality: Quality | None
    seconds: list[float] = field(default_factory=list)
    peak_mib: float | None = None
    spa_densities: list[float] | None = None
    macs: float | None = None
    loaded: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """By which measurements are told apart."""
        return self.network, self.set_name, self.image

    @property
    def median(self) -> float | None:
        """The median of the runs, seconds."""
        return summarise(self.seconds).median if self.seconds else None

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
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Measurement:
        """Return what `to_json` returned.

        Raises:
            TypeError, KeyError, ValueError: If the values are not that.
        """
        quality = values["quality"]
        if quality is not None:
            quality = Quality(**{k: float(v) for k, v in quality.items()})
        width, height = values["lq_size"]
        return cls(**{**values, "quality": quality, "lq_size": (width, height)})


@dataclass
class NetworkResult:
    """One network on all images.

    Attributes:
        label: What it is called.
        argument: What it was called on the command line, its file without folders.
        run_by, precision: How it was run.
        params: Parameters, without an SMSR's channel mask logits.
        macs, activations: For an output of 1280×720; of a sparse SMSR what is kept at the mean
            densities of the images. None where they cannot be counted.
        dense_macs: The same with every pixel computed.
        measurements: In the order of the images.
        failures: The reason for each image, as "set/image", that has no figures.
    """

    label: str
    argument: str
    run_by: str
    precision: str
    params: int | None = None
    macs: float | None = None
    activations: float | None = None
    dense_macs: float | None = None
    measurements: list[Measurement] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def mean(
        self, value: Callable[[Measurement], float | None], set_name: str | None = None
    ) -> float | None:
        """Return the mean of a value over a set's images, or all; None if any has none.

        A mean over some of the images could not be compared with other networks'.
        """
        if any(set_name in (None, image.partition("/")[0]) for image in self.failures):
            return None
        found = [value(m) for m in self.measurements if set_name in (None, m.set_name)]
        values = [v for v in found if v is not None]
        return sum(values) / len(values) if values and len(values) == len(found) else None

    def psnr_y(self, set_name: str) -> float | None:
        """Mean PSNR on Y over a set."""
        return self.mean(lambda m: m.quality and m.quality.psnr_y, set_name)

    def ssim_y(self, set_name: str) -> float | None:
        """Mean SSIM on Y over a set."""
        return self.mean(lambda m: m.quality and m.quality.ssim_y, set_name)

    def seconds(self, set_name: str | None = None) -> float | None:
        """Mean over a set's images, or all, of the median time of a run."""
        return self.mean(lambda m: m.median, set_name)

    @property
    def density(self) -> float | None:
        """Mean spatial density over all images."""
        return self.mean(lambda m: m.density)

    @property
    def block_densities(self) -> list[float] | None:
        """Mean spatial density of each block over all images."""
        found = [m.spa_densities for m in self.measurements if m.spa_densities]
        return [statistics.fmean(block) for block in zip(*found, strict=True)] if found else None

    @property
    def peak_mib(self) -> float | None:
        """Peak memory over all images."""
        return max((m.peak_mib for m in self.measurements if m.peak_mib is not None), default=None)

    @property
    def loaded(self) -> str:
        """What the engine loaded."""
        return self.measurements[0].loaded if self.measurements else ""


@dataclass
class Comparison(Conditions):
    """Networks compared over sets of images.

    Attributes:
        scale: Of all networks.
        sets: The number of images of each set.
        networks: Bicubic first, then in the order of the command line.
    """

    scale: int
    sets: dict[str, int]
    networks: list[NetworkResult]

    @property
    def timed(self) -> bool:
        """Whether times were measured."""
        return self.schedule["rounds"] > 0

    def to_json(self) -> str:
        """Return all of it as JSON."""
        values = asdict(self)
        for kept, network in zip(values["networks"], self.networks, strict=True):
            kept["measurements"] = [m.to_json() for m in network.measurements]
        return json.dumps(values, indent=1, allow_nan=False)
