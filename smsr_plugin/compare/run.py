"""A whole comparison: from what a user asks for to what is to be measured, and what it comes to."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from smsr_plugin.compare.costs import CostCounter
from smsr_plugin.compare.images import Case, ImageSource, list_cases, load_case, ntire_cases
from smsr_plugin.compare.journal import Journal, Settings
from smsr_plugin.compare.measure import Engines, measure_image
from smsr_plugin.compare.perceptual import PerceptualMetrics, check_metrics
from smsr_plugin.compare.presets import PRESETS, noise, preset_images, preset_networks
from smsr_plugin.compare.resolve import ComparedNetwork, resolve
from smsr_plugin.compare.results import BICUBIC, Comparison, Measurement, NetworkResult
from smsr_plugin.engines.process import Schedule
from smsr_plugin.images.bicubic import upscale
from smsr_plugin.images.files import ROLE_NAMES, DataError
from smsr_plugin.images.pixels import to_image
from smsr_plugin.images.quality import compare
from smsr_plugin.machine import describe
from smsr_plugin.networks.find import NetworkError, parse_network

#: Rounds where neither the user nor a preset says how many.
ROUNDS = 5

JOURNAL = "journal.jsonl"
#: What of a network's engine decides its figures.
ENGINE_KEYS = ("module", "precision", "backend", "env")


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        networks: What is compared.
        images: On what.
        load: Reads an image.
        scale: Of all networks.
        schedule: How often networks run; no rounds for quality alone.
        threads: Of each engine that does not say its own.
        command: The arguments, paths without their folders.
        fresh: Whether each image has processes of its own, so that its memory is its own too.
        details: Whether the difference from float64 and the parts' times are asked for too.
        metrics: Of `compare.perceptual.METRICS`, taken beside PSNR and SSIM.
    """

    networks: Sequence[ComparedNetwork]
    images: Sequence[ImageSource]
    load: Callable[[ImageSource], Case]
    scale: int
    schedule: Schedule
    threads: int
    command: Sequence[str]
    fresh: bool = False
    details: bool = False
    metrics: Sequence[str] = ()


def make_plan(
    networks: Sequence[str],
    images: Sequence[str],
    command: Sequence[str],
    threads: int,
    *,
    scale: int = 2,
    engine: str = "pytorch",
    rounds: int | None = None,
    preset: str = "",
    engines: Sequence[str] = (),
    ntire: bool = False,
    metrics: Sequence[str] = (),
) -> Plan:
    """Find the images and the networks that a user asks for.

    Args:
        networks: As `parse_network` takes them.
        images: As `list_cases` takes them.
        command: The arguments, paths without their folders.
        threads: Of each engine.
        scale: Of all networks.
        engine: Of `LIBRARIES`: runs dense networks.
        rounds: Timed runs on an image; 0 for quality alone, None for the usual number.
        preset: Of `PRESETS`; empty for none.
        engines: Patterns that select from a preset's engines.
        ntire: Whether the lq images of NTIRE's table come first.
        metrics: Of `compare.perceptual.METRICS`.

    Raises:
        ValueError, OSError: If one cannot be had, or the request contradicts itself.
        ImportError: If what measures the metrics is not installed.
    """
    check_metrics(metrics)
    arguments = [parse_network(text) for text in networks]
    load: Callable[[ImageSource], Case] = partial(load_case, scale=scale)
    if preset:
        if metrics:
            raise NetworkError(f"--metric is for comparisons without the preset {preset}")
        if ntire:
            raise NetworkError(f"--ntire is a table of its own, without the preset {preset}")
        known, found = PRESETS[preset], preset_images(preset, images)
        return Plan(
            preset_networks(preset, arguments, scale, threads, engines),
            found,
            noise if preset == "training" else load,
            scale,
            _schedule(known.schedule, rounds),
            threads,
            command,
            fresh=known.fresh,
            details=known.details,
        )
    if engines:
        raise NetworkError("--engines selects from a preset; an engine is given by --engine")
    if not arguments or not (images or ntire):
        raise NetworkError("give a NETWORK and --images, or a --preset")
    # A process is asked for the most memory since it was loaded: larger images come later.
    found = [*(ntire_cases() if ntire else ()), *list_cases(images)]
    schedule = _schedule(Schedule(rounds=ROUNDS), rounds)
    if metrics and not any(image.is_gt for image in found):
        raise NetworkError(f"--metric {metrics[0]} compares with HR images: give --images a folder")
    compared = resolve(arguments, scale, engine, threads)
    return Plan(compared, found, load, scale, schedule, threads, command, metrics=metrics)


def _schedule(usual: Schedule, rounds: int | None) -> Schedule:
    if rounds is None:
        return usual
    return replace(usual, rounds=rounds) if rounds else Schedule(0, 0, 0, 0)


class Run:
    """A comparison on its way.

    Args:
        plan: What is to be measured.
        folder: Where the journal is; must exist.

    Attributes:
        failures: By network label and by image, the reason.

    Raises:
        JournalError: If the folder holds measurements of another plan.
        ValueError: If the weights of a metric's network are damaged.
        OSError: If the journal cannot be read or written.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.machine = plan, describe()
        self.journal = Journal(folder / JOURNAL, self._settings())
        self.counters = {n.label: CostCounter(n.source) for n in plan.networks if n.source}
        self.failures: dict[str, dict[str, str]] = defaultdict(dict)
        self._perceptual = PerceptualMetrics(plan.metrics) if plan.metrics else None

    @property
    def total(self) -> int:
        """How many measurements there will be, Bicubic's aside."""
        return len(self.plan.images) * sum(len(n.wanted) for n in self.plan.networks)

    @property
    def pending(self) -> int:
        """How many of them are still to be made."""
        return sum(_count(self._missing(image)) for image in self.plan.images)

    def measure(self, progress: Callable[[str, int], object]) -> None:
        """Make the measurements that are missing; what fails is in `failures`.

        Args:
            progress: Called with what is being done and how many measurements have just been made
                or given up.
        """
        with (
            tempfile.TemporaryDirectory(prefix="smsr_benchmark_") as folder,
            Engines(Path(folder), self.plan.schedule, self.plan.fresh) as engines,
        ):
            for image in self.plan.images:
                missing = self._missing(image)
                if not missing:
                    continue
                try:
                    case = self.plan.load(image)
                    self._keep_bicubic(case)
                except (DataError, ValueError) as error:
                    failed = [network.label for network in missing]
                    for label in [BICUBIC, *failed] if image.is_gt else failed:
                        self.failures[label][str(image)] = str(error)
                    progress(str(error), _count(missing))
                    continue
                found, failures = measure_image(
                    case,
                    missing,
                    engines,
                    self.plan.details,
                    lambda doing: progress(doing, 0),
                    self._perceptual,
                )
                for measurement in found:
                    self.journal.append(self._counted(measurement))
                for label, reason in failures.items():
                    self.failures[label][str(image)] = reason
                progress(f"{image}: done", _count(missing))

    def result(self) -> Comparison:
        """Return what has been measured, in the order of the plan."""
        plan, sets = self.plan, defaultdict[str, int](int)
        for image in plan.images:
            sets[image.set_name] += 1
        results = [self._network(network) for network in plan.networks]
        if any(image.is_gt for image in plan.images):
            bicubic = NetworkResult(BICUBIC, "", BICUBIC, "MATLAB's imresize, 8 bits", "")
            bicubic.measurements = self._found(BICUBIC, (None,))
            results.insert(0, bicubic)
        for result in results:
            result.failures = dict(self.failures.get(result.label, {}))
        date = datetime.now(UTC).isoformat(timespec="seconds")
        return Comparison(
            date,
            list(plan.command),
            plan.threads,
            asdict(plan.schedule),
            self.machine,
            plan.scale,
            dict(sets),
            results,
        )

    def _missing(self, image: ImageSource) -> list[ComparedNetwork]:
        done, place = self.journal.measurements, (image.set_name, image.name)
        return [
            network
            for network in self.plan.networks
            if any((network.label, *place, wanted) not in done for wanted in network.wanted)
        ]

    def _found(self, label: str, wanted: Sequence[float | None]) -> list[Measurement]:
        done = self.journal.measurements
        keys = [(label, i.set_name, i.name, w) for i in self.plan.images for w in wanted]
        return [done[key] for key in keys if key in done]

    def _keep_bicubic(self, case: Case) -> None:
        image = case.image
        if case.gt is None or (BICUBIC, image.set_name, image.name, None) in (
            self.journal.measurements
        ):
            return
        sr = upscale(to_image(case.lq), self.plan.scale)
        measured = Measurement(
            BICUBIC,
            image.set_name,
            image.name,
            case.size,
            compare(sr, case.gt, self.plan.scale),
            perceptual=self._perceptual and self._perceptual(sr, case.gt),
        )
        self.journal.append(measured)

    def _counted(self, measurement: Measurement) -> Measurement:
        counter = self.counters.get(measurement.network)
        if counter is None:
            return measurement
        width, height = measurement.lq_size
        cost = counter.of_image((height, width), measurement.spa_densities)
        return replace(measurement, macs=cost.macs, activations=cost.activations)

    def _network(self, network: ComparedNetwork) -> NetworkResult:
        spec, counter = network.spec, self.counters.get(network.label)
        result = NetworkResult(
            network.label,
            without_folders(network.argument) if network.argument else "",
            network.title,
            spec.library,
            spec.precision,
            spec.threads,
            dict(spec.env),
            measurements=self._found(network.label, network.wanted),
        )
        if counter is not None:
            result.params, result.dense_macs = counter.params, counter.dense.macs
            # The densities of a sweep are not the network's own.
            own = None if network.densities else result.block_densities
            result.macs, result.activations = counter.kept(own)
        return result

    def _settings(self) -> Settings:
        """Return all that figures depend on."""
        plan, sets = self.plan, defaultdict[str, dict[str, int | None]](dict)
        for image in plan.images:
            size = image.path and image.path.stat().st_size
            sets[image.set_name][image.name] = size
        return {
            "scale": plan.scale,
            "threads": plan.threads,
            "schedule": asdict(plan.schedule),
            "fresh": plan.fresh,
            "details": plan.details,
            **({"metrics": list(plan.metrics)} if plan.metrics else {}),
            "networks": {n.label: _identity(n, plan.threads) for n in plan.networks},
            "sets": sets,
            "cpu": self.machine["cpu"],
            "SMSR_ISA": os.environ.get("SMSR_ISA", ""),
            "packages": self.machine["packages"],
        }


def _count(networks: Sequence[ComparedNetwork]) -> int:
    return sum(len(network.wanted) for network in networks)


def _identity(network: ComparedNetwork, threads: int) -> dict[str, object]:
    source = asdict(network.source) if network.source else {}
    if source.get("weights"):
        source["weights"] = hashlib.sha256(source["weights"].read_bytes()).hexdigest()
    engine = {key: getattr(network.spec, key) for key in ENGINE_KEYS}
    own = {} if network.spec.threads == threads else {"threads": network.spec.threads}
    return {**source, **engine, **own, "densities": network.densities}


def without_folders(argument: str) -> str:
    """Return an argument fit for publication: of a path only what names it, "Set5/HR"."""
    name, equals, file = argument.partition("=")
    if "/" in file:
        return name + equals + without_folders(file)
    path = Path(argument)
    return "/".join(path.parts[-2:]) if path.name in ROLE_NAMES else path.name
