"""Networks on images: every network on one image, in turns, then the next image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from smsr_plugin.archs.masked import as_masked
from smsr_plugin.compare.images import Case
from smsr_plugin.compare.oracle import Exact, thresholds_for
from smsr_plugin.compare.perceptual import PerceptualMetrics
from smsr_plugin.compare.resolve import ComparedNetwork
from smsr_plugin.compare.results import Measurement
from smsr_plugin.engines.base import Input
from smsr_plugin.engines.export import Exporter, ExportError
from smsr_plugin.engines.process import EngineError, EngineProcess, Schedule, Turn, take_turns
from smsr_plugin.images.pixels import to_image
from smsr_plugin.images.quality import compare

#: Runs of which the breakdown is taken.
BREAKDOWN_RUNS = 5

#: Called with what is being done.
Progress = Callable[[str], object]
#: Inputs by the density that they are to reach; None stands for the network's own.
Inputs = Mapping[float | None, Input]


class Engines:
    """The networks' processes: started when first needed, kept from image to image.

    A process whose network fails on an image is ended, and started again for the next one. A
    network whose library cannot be imported is not tried again.

    Args:
        folder: An existing folder for networks in other libraries' formats.
        schedule: How often networks run.
        fresh: Whether processes end with each image.

    Use it as a context manager, so that the processes end with the block.
    """

    def __init__(self, folder: Path, schedule: Schedule, fresh: bool = False) -> None:
        self.schedule, self.fresh = schedule, fresh
        self._exporter = Exporter(folder)
        self._processes: dict[str, EngineProcess] = {}
        self._hopeless: dict[str, str] = {}
        self._loaded: dict[str, str] = {}

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """End all processes."""
        self._loaded.clear()
        with ExitStack() as stack:
            while self._processes:
                stack.callback(self._processes.popitem()[1].close)

    def ready(
        self, network: ComparedNetwork, size: tuple[int, int], inputs: Inputs
    ) -> EngineProcess:
        """Return the network's process, loaded, and warm on its inputs of (width, height).

        Raises:
            EngineError, ExportError: If that cannot be.
        """
        label, spec, source = network.label, network.spec, network.source
        if label in self._hopeless:
            raise EngineError(self._hopeless[label])
        try:
            # First, because an absent library should not cost an export.
            process = self._processes.get(label) or self._start(network)
            # Files of other formats are of one image size.
            if label not in self._loaded or spec.model_format is not None:
                model = None
                if spec.model_format is not None and source is not None:
                    model = self._exporter.model(source, spec.model_format, size)
                self._loaded[label] = process.call("load", spec, source, model)
            for wanted, given in inputs.items():
                process.call("prepare", key_of(wanted), given)
                if self.schedule.warm_up:
                    process.call("warm_up", key_of(wanted), self.schedule.warm_up)
        except (EngineError, ExportError):
            self.drop(network)
            raise
        return process

    def loaded(self, network: ComparedNetwork) -> str:
        """Return what the network's engine says it loaded."""
        return self._loaded.get(network.label, "")

    def drop(self, network: ComparedNetwork) -> None:
        """End a network's process; the next image starts a new one."""
        self._loaded.pop(network.label, None)
        if process := self._processes.pop(network.label, None):
            process.close()

    def _start(self, network: ComparedNetwork) -> EngineProcess:
        process = self._processes[network.label] = EngineProcess(network.spec)
        try:
            process.call("import_library", network.spec)
        except EngineError as error:
            self._hopeless[network.label] = str(error)
            raise
        return process


def measure_image(
    case: Case,
    networks: Sequence[ComparedNetwork],
    engines: Engines,
    details: bool,
    progress: Progress,
    perceptual: PerceptualMetrics | None = None,
) -> tuple[list[Measurement], dict[str, str]]:
    """Let networks take turns on one image.

    Args:
        case: The lq image and, where there is one, its ground truth.
        networks: All of the same scale.
        engines: Their processes.
        details: Also take the difference from float64 and the times of the parts.
        progress: Told what is being done.
        perceptual: Metrics that are taken beside PSNR and SSIM.

    Returns:
        The measurements of the networks that ran, their multiply-adds not yet counted, and by label
        why the others did not.
    """
    running: dict[EngineProcess, ComparedNetwork] = {}
    failures: dict[str, str] = {}
    turns: dict[Turn, float | None] = {}
    for network in networks:
        progress(f"{case.image}: loading {network.label}")
        try:
            process = engines.ready(network, case.size, _inputs(case, network))
        except (EngineError, ExportError) as error:
            failures[network.label] = str(error)
            continue
        running[process] = network
        turns.update({Turn(process, key_of(wanted)): wanted for wanted in network.wanted})
    timings = take_turns(turns, engines.schedule, lambda name: progress(f"{case.image}: {name}"))
    exact = Exact(case.lq) if details else None
    measurements: list[Measurement] = []
    for process, network in running.items():
        progress(f"{case.image}: output of {network.label}")
        try:
            if process in timings.failures:
                raise EngineError(timings.failures[process])
            found = [
                _inspect(
                    case, network, turn, wanted, timings.seconds.get(turn, []), exact, perceptual
                )
                for turn, wanted in turns.items()
                if turn.process is process
            ]
            loaded = engines.loaded(network)
            measurements += [replace(measurement, loaded=loaded) for measurement in found]
        except (EngineError, ValueError) as error:
            failures[network.label] = str(error)
            engines.drop(network)
    if engines.fresh:
        engines.end()
    return measurements, failures


def key_of(wanted: float | None) -> str:
    """Return how an engine's process calls the input that is to reach a density."""
    return "lq" if wanted is None else f"{wanted:g}"


def _inputs(case: Case, network: ComparedNetwork) -> Inputs:
    if not network.densities or network.source is None:
        return {None: Input(case.lq)}
    net = as_masked(network.source.load(), "a sweep of densities takes")
    found = thresholds_for(net, torch.from_numpy(case.lq), network.densities)
    return {
        wanted: Input(case.lq, given.threshold)
        for wanted, given in zip(network.densities, found, strict=True)
    }


def _inspect(
    case: Case,
    network: ComparedNetwork,
    turn: Turn,
    wanted: float | None,
    seconds: list[float],
    exact: Exact | None,
    perceptual: PerceptualMetrics | None,
) -> Measurement:
    """Ask an engine for all but its times; the memory first, before other calls add to it."""
    process, source, image = turn.process, network.source, case.image
    peak, running = process.call("memory") if seconds else (None, None)
    measured = Measurement(
        network.label,
        image.set_name,
        image.name,
        case.size,
        seconds=seconds,
        peak_mib=peak,
        running_peak_mib=running,
        wanted_density=wanted,
    )
    if source is None:
        return measured
    output, densities = process.call("inspect", turn.key)
    sr, quality, perceived = to_image(output), None, None
    if case.gt is not None and network.has_weights:
        quality = compare(sr, case.gt, source.upscale)
        perceived = perceptual and perceptual(sr, case.gt)
    return replace(
        measured,
        quality=quality,
        perceptual=perceived,
        spa_densities=densities,
        difference=exact.difference(source, output) if exact else None,
        breakdown=_breakdown(process, turn.key) if exact and seconds else None,
    )


def _breakdown(process: EngineProcess, key: str) -> dict[str, list[float]] | None:
    parts: dict[str, list[float]] = defaultdict(list)
    for _ in range(BREAKDOWN_RUNS):
        for part, seconds in (process.call("breakdown", key) or {}).items():
            parts[part].append(seconds)
    return dict(parts) or None
