"""A whole comparison: what is to be measured, what has been, and what it comes to."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from smsr_plugin.compare.costs import CostCounter
from smsr_plugin.compare.engines.runner import Schedule
from smsr_plugin.compare.journal import Journal, Settings
from smsr_plugin.compare.measure import Engines, measure_image
from smsr_plugin.compare.networks.resolve import BICUBIC, ComparedNetwork
from smsr_plugin.compare.results import Comparison, Measurement, NetworkResult
from smsr_plugin.compare.sets import ROLE_NAMES, HRImage, Pair, load_pair
from smsr_plugin.images.bicubic import upscale
from smsr_plugin.images.files import DataError
from smsr_plugin.images.quality import compare
from smsr_plugin.machine import describe

JOURNAL = "journal.jsonl"
#: What of a network's engine decides its figures.
ENGINE_KEYS = ("module", "precision", "backend")


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        networks: What is compared.
        images: On what.
        scale: Of all networks.
        schedule: How often networks run; no rounds for quality alone.
        threads: Of each engine.
        command: The arguments, paths without their folders.
    """

    networks: Sequence[ComparedNetwork]
    images: Sequence[HRImage]
    scale: int
    schedule: Schedule
    threads: int
    command: Sequence[str]


class Run:
    """A comparison on its way.

    Args:
        plan: What is to be measured.
        folder: Where the journal is; must exist.

    Attributes:
        failures: By network label and by image, the reason.

    Raises:
        JournalError: If the folder holds measurements of another plan.
        OSError: If the journal cannot be read or written.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.machine = plan, describe()
        self.journal = Journal(folder / JOURNAL, self._settings())
        self.counters = {n.label: CostCounter(n.source) for n in plan.networks}
        self.failures: dict[str, dict[str, str]] = defaultdict(dict)

    @property
    def pending(self) -> int:
        """How many measurements are still to be made."""
        return sum(len(self._missing(image)) for image in self.plan.images)

    def measure(self, progress: Callable[[str, int], object]) -> None:
        """Make the measurements that are missing; what fails is in `failures`.

        Args:
            progress: Called with what is being done and how many measurements have just been made
                or given up.
        """
        with (
            tempfile.TemporaryDirectory(prefix="smsr_benchmark_") as folder,
            Engines(Path(folder), self.plan.schedule) as engines,
        ):
            for image in self.plan.images:
                missing = self._missing(image)
                if not missing:
                    continue
                try:
                    pair = load_pair(image, self.plan.scale)
                    self._keep_bicubic(pair)
                except (DataError, ValueError) as error:
                    for label in (BICUBIC, *(network.label for network in missing)):
                        self.failures[label][str(image)] = str(error)
                    progress(str(error), len(missing))
                    continue
                found, failures = measure_image(
                    pair, missing, engines, lambda doing: progress(doing, 0)
                )
                for measurement in found:
                    self.journal.append(self._counted(measurement))
                for label, reason in failures.items():
                    self.failures[label][str(image)] = reason
                progress(f"{image}: done", len(missing))

    def result(self) -> Comparison:
        """Return what has been measured, in the order of the plan."""
        plan, sets = self.plan, defaultdict[str, int](int)
        for image in plan.images:
            sets[image.set_name] += 1
        bicubic = NetworkResult(BICUBIC, "", "MATLAB's imresize, 8 bits", "")
        results = [bicubic, *(self._network(network) for network in plan.networks)]
        for result in results:
            keys = [(result.label, image.set_name, image.name) for image in plan.images]
            found = self.journal.measurements
            result.measurements = [found[key] for key in keys if key in found]
            result.failures = dict(self.failures.get(result.label, {}))
            if result is not bicubic:
                cost = self.counters[result.label].kept(result.block_densities)
                result.macs, result.activations = cost
        date = datetime.now(timezone.utc).isoformat(timespec="seconds")
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

    def _missing(self, image: HRImage) -> list[ComparedNetwork]:
        done = self.journal.measurements
        key = (image.set_name, image.name)
        return [n for n in self.plan.networks if (n.label, *key) not in done]

    def _keep_bicubic(self, pair: Pair) -> None:
        image = pair.image
        if (BICUBIC, image.set_name, image.name) in self.journal.measurements:
            return
        lq = np.rint(pair.lq[0].transpose(1, 2, 0) * 255).astype(np.uint8)
        quality = compare(upscale(lq, self.plan.scale), pair.gt, self.plan.scale)
        self.journal.append(Measurement(BICUBIC, image.set_name, image.name, pair.lq_size, quality))

    def _counted(self, measurement: Measurement) -> Measurement:
        width, height = measurement.lq_size
        counter = self.counters[measurement.network]
        cost = counter.of_image((height, width), measurement.spa_densities)
        return replace(measurement, macs=cost.macs)

    def _network(self, network: ComparedNetwork) -> NetworkResult:
        spec, counter = network.spec, self.counters[network.label]
        argument = without_folders(network.argument)
        result = NetworkResult(network.label, argument, spec.library, spec.precision)
        result.params, result.dense_macs = counter.params, counter.dense.macs
        return result

    def _settings(self) -> Settings:
        """Return all that figures depend on."""
        plan, sets = self.plan, defaultdict[str, dict[str, int]](dict)
        for image in plan.images:
            sets[image.set_name][image.name] = image.path.stat().st_size
        return {
            "scale": plan.scale,
            "threads": plan.threads,
            "schedule": asdict(plan.schedule),
            "networks": {network.label: _identity(network) for network in plan.networks},
            "sets": sets,
            "cpu": self.machine["cpu"],
            "SMSR_ISA": os.environ.get("SMSR_ISA", ""),
            "packages": self.machine["packages"],
        }


def _identity(network: ComparedNetwork) -> dict[str, object]:
    source = asdict(network.source)
    source["weights"] = source["weights"] and _digest(source["weights"])
    return {**source, **{key: getattr(network.spec, key) for key in ENGINE_KEYS}}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def without_folders(argument: str) -> str:
    """Return an argument fit for publication: of a path only what names it, "Set5/HR"."""
    name, equals, file = argument.partition("=")
    if "/" in file:
        return name + equals + without_folders(file)
    path = Path(argument)
    return "/".join(path.parts[-2:]) if path.name in ROLE_NAMES else path.name
