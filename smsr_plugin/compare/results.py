"""What was measured, as plain data that JSON keeps: one network on one image, and on all."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from smsr_plugin.images.quality import Quality
from smsr_plugin.timing import Summary, summarise

#: What tells a measurement: its network's label, set, image, and the density that was asked for.
Key = tuple[str, str, str, float | None]
#: What the row of bicubic interpolation is called.
BICUBIC = "Bicubic"


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
        perceptual: By name, the metrics of `compare.perceptual` that were asked for; None where
            there is no quality.
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
    perceptual: dict[str, float] | None = None

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


@dataclass
class NetworkResult:
    """One network, run in one way, on all images.

    Attributes:
        label: What it is called.
        argument: What it was called on the command line, its file without folders.
        title: What it is: "sparse", "dense twin", "PAN".
        run_by, precision, threads, env: How it was run.
        params: Parameters, without an SMSR's channel mask logits.
        macs, activations: For an output of 1280×720; of a sparse SMSR what is kept at the mean
            densities of the images. None where they cannot be counted.
        dense_macs: The same with every pixel computed.
        measurements: In the order of the images.
        failures: The reason for each image, as "set/image", that has no figures.
    """

    label: str
    argument: str
    title: str
    run_by: str
    precision: str
    threads: int | None = None
    env: dict[str, str] = field(default_factory=dict)
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

    def perceptual(self, metric: str, set_name: str) -> float | None:
        """Mean of a metric of `compare.perceptual` over a set."""
        return self.mean(lambda m: (m.perceptual or {}).get(metric), set_name)

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
class Comparison:
    """Networks compared over sets of images.

    Attributes:
        date: UTC, ISO 8601.
        command: The arguments, paths without their folders.
        threads: Threads of each engine, unless its own entry says otherwise.
        schedule: As in `Schedule`.
        machine: As `machine.describe` tells it.
        scale: Of all networks.
        sets: The number of images of each set.
        networks: Bicubic first where there is a ground truth, then in the order they were given.
    """

    date: str
    command: list[str]
    threads: int
    schedule: dict[str, float]
    machine: dict[str, Any]
    scale: int
    sets: dict[str, int]
    networks: list[NetworkResult]

    @property
    def timed(self) -> bool:
        """Whether times were measured."""
        return self.schedule["rounds"] > 0

    @property
    def quality_sets(self) -> list[str]:
        """The sets with a ground truth, also where none of their images could be measured."""
        if not self.networks or self.networks[0].label != BICUBIC:
            return []
        every = [m for network in self.networks for m in network.measurements]
        without = {m.set_name for m in every} - {m.set_name for m in every if m.quality}
        return [name for name in self.sets if name not in without]

    @property
    def perceptual_metrics(self) -> list[str]:
        """The metrics of `compare.perceptual` that were asked for."""
        every = (m for network in self.networks for m in network.measurements)
        return list(dict.fromkeys(metric for m in every for metric in m.perceptual or ()))

    def images(self) -> list[tuple[str, str]]:
        """Return set and name of each image of the other sets, in their order."""
        every = (m for network in self.networks for m in network.measurements)
        others = self.sets.keys() - self.quality_sets
        return list(dict.fromkeys((m.set_name, m.image) for m in every if m.set_name in others))

    def on(self, set_name: str, image: str) -> Iterator[tuple[NetworkResult, Measurement]]:
        """Yield every measurement of an image with its network."""
        for network in self.networks:
            for measurement in network.measurements:
                if (measurement.set_name, measurement.image) == (set_name, image):
                    yield network, measurement

    def to_json(self) -> str:
        """Return all of it as JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["networks"] = [
            {**asdict(network), "measurements": [m.to_json() for m in network.measurements]}
            for network in self.networks
        ]
        return json.dumps(values, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Return what `to_json` wrote.

        Raises:
            ValueError: If the text is not that.
        """
        try:
            values = json.loads(text)
            networks = [NetworkResult(**network) for network in values["networks"]]
            for network, given in zip(networks, values["networks"], strict=True):
                network.measurements = [Measurement.from_json(m) for m in given["measurements"]]
            return cls(**{**values, "networks": networks})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not the results of a comparison: {error!r}") from error
