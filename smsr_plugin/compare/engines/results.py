"""Everything that was measured, as plain data that JSON keeps."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from smsr_plugin.timing import Summary, summarise


@dataclass
class EngineResult:
    """One engine on one image.

    Attributes:
        name, network, library, precision, threads, env: As in `EngineSpec`.
        loaded: What the library says it loaded, where the catalogue leaves that open.
        failure: Why there are no figures; None where there are.
        seconds: Of each timed run, in order.
        peak_mib: Peak memory beyond the imported library, from loading on (see `worker`).
        running_peak_mib: The same after the warm-up.
        max_abs, psnr: Difference from the oracle's output (see `difference`).
        spa_densities: Each block's share of important pixels; None without masks.
        macs: The multiply-adds that the masks keep; None without masks.
        breakdown: For each part the seconds of each run; None where the network has no such.
    """

    name: str
    network: str
    library: str
    precision: str
    threads: int
    env: dict[str, str]
    loaded: str = ""
    failure: str | None = None
    seconds: list[float] = field(default_factory=list)
    peak_mib: float | None = None
    running_peak_mib: float | None = None
    max_abs: float | None = None
    psnr: float | None = None
    spa_densities: list[float] | None = None
    macs: float | None = None
    breakdown: dict[str, list[float]] | None = None

    @property
    def summary(self) -> Summary:
        """Median and quartiles of the runs."""
        return summarise(self.seconds)

    @property
    def median(self) -> float:
        """The median of the runs, seconds."""
        return self.summary.median

    @property
    def density(self) -> float | None:
        """The mean spatial density."""
        densities = self.spa_densities
        return sum(densities) / len(densities) if densities else None


@dataclass
class CaseResult:
    """All engines on one image.

    Attributes:
        name: The image.
        size: Width and height of the lq image.
        engines: In the order of the catalogue.
    """

    name: str
    size: tuple[int, int]
    engines: list[EngineResult]

    def engine(self, name: str) -> EngineResult | None:
        """Return the engine of that name if it has figures."""
        return next((e for e in self.engines if e.name == name and e.failure is None), None)


@dataclass
class SweepPoint:
    """One engine at one density.

    Attributes:
        engine: Its name.
        density: The mean share of important pixels that it computed.
        macs: The multiply-adds that the masks keep.
        seconds: Of each timed run.
    """

    engine: str
    density: float
    macs: float
    seconds: list[float]


@dataclass
class Sweep:
    """Time against density, on one image.

    Attributes:
        case, size: The image.
        points: Of the sparse engines.
        lines: The dense engines' runs, whose time no mask changes.
        peak_flops: The machine's fp32 peak in the same run, operations per second; None where it
            was not measured.
        failures: The reason for each engine without figures.
    """

    case: str
    size: tuple[int, int]
    points: list[SweepPoint]
    lines: dict[str, list[float]]
    peak_flops: float | None
    failures: dict[str, str]


@dataclass
class Conditions:
    """When, where and how it was measured.

    Attributes:
        date: UTC, ISO 8601.
        command: The arguments, paths without their folders.
        threads: Threads of each engine, unless its own entry says otherwise.
        schedule: As in `Schedule`.
        machine: As `machine.describe` tells it.
    """

    date: str
    command: list[str]
    threads: int
    schedule: dict[str, float]
    machine: dict[str, Any]


@dataclass
class Results(Conditions):
    """A whole benchmark.

    Attributes:
        cases: By image.
        sweep: If asked for.
    """

    cases: list[CaseResult] = field(default_factory=list)
    sweep: Sweep | None = None

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(asdict(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Results:
        """Return what `to_json` wrote.

        Raises:
            ValueError: If the text is not that.
        """
        try:
            values = json.loads(text)
            values["cases"] = [_case(case) for case in values["cases"]]
            values["sweep"] = values["sweep"] and _sweep(values["sweep"])
            return cls(**values)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not the results of a benchmark: {error!r}") from error


def _case(values: dict[str, Any]) -> CaseResult:
    engines = [EngineResult(**engine) for engine in values["engines"]]
    return CaseResult(values["name"], tuple(values["size"]), engines)


def _sweep(values: dict[str, Any]) -> Sweep:
    points = [SweepPoint(**point) for point in values["points"]]
    return Sweep(**{**values, "size": tuple(values["size"]), "points": points})
