"""Networks on images: every network on one image, in turns, then the next image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from smsr_plugin.compare.crops import Case
from smsr_plugin.compare.engines.base import Input
from smsr_plugin.compare.engines.export import Exporter, ExportError
from smsr_plugin.compare.engines.measure import INPUT, load_network, prepare
from smsr_plugin.compare.engines.process import EngineError, EngineProcess
from smsr_plugin.compare.engines.runner import Schedule, Turn, take_turns
from smsr_plugin.compare.networks.resolve import ComparedNetwork
from smsr_plugin.compare.results import Measurement
from smsr_plugin.compare.sets import Pair
from smsr_plugin.images.quality import compare, to_image

#: Called with what is being done.
Progress = Callable[[str], object]


class Engines:
    """The networks' processes: started when first needed, kept from image to image.

    A process whose network fails on an image is ended, and started again for the next one. A
    network whose library cannot be imported is not tried again.

    Args:
        folder: An existing folder for networks in other libraries' formats.
        schedule: How often networks run.

    Use it as a context manager, so that the processes end with the block.
    """

    def __init__(self, folder: Path, schedule: Schedule) -> None:
        self.folder, self.schedule = folder, schedule
        self._processes: dict[str, EngineProcess] = {}
        self._exporters: dict[str, Exporter] = {}
        self._hopeless: dict[str, str] = {}
        self._loaded: dict[str, str] = {}

    def __enter__(self) -> Engines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:
            for process in self._processes.values():
                stack.callback(process.close)

    def ready(self, network: ComparedNetwork, case: Case) -> EngineProcess:
        """Return the network's process, loaded and warm on an image.

        Raises:
            EngineError, ExportError: If that cannot be.
        """
        label, spec = network.label, network.spec
        if label in self._hopeless:
            raise EngineError(self._hopeless[label])
        exporter = self._exporters.setdefault(label, Exporter(self.folder, network.source))
        try:
            if label not in self._processes:
                self._start(network)
            process = self._processes[label]
            # Files of other formats are of one image size.
            if label not in self._loaded or spec.model_format is not None:
                self._loaded[label] = load_network(process, exporter, case.size)
            prepare(process, INPUT, Input(case.lq), self.schedule)
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

    def _start(self, network: ComparedNetwork) -> None:
        process = self._processes[network.label] = EngineProcess(network.spec)
        try:
            process.call("import_library", network.spec)
        except EngineError as error:
            self._hopeless[network.label] = str(error)
            raise


def measure_image(
    pair: Pair, networks: Sequence[ComparedNetwork], engines: Engines, progress: Progress
) -> tuple[list[Measurement], dict[str, str]]:
    """Let networks take turns on one image.

    Args:
        pair: The lq image and its ground truth.
        networks: All of the same scale.
        engines: Their processes.
        progress: Told what is being done.

    Returns:
        The measurements of the networks that ran, their multiply-adds not yet counted, and by label
        why the others did not.
    """
    case = Case(str(pair.image), pair.lq)
    running: dict[EngineProcess, ComparedNetwork] = {}
    failures: dict[str, str] = {}
    for network in networks:
        progress(f"{case.name}: {network.label}, warming up")
        try:
            running[engines.ready(network, case)] = network
        except (EngineError, ExportError) as error:
            failures[network.label] = str(error)
    turns = {process: Turn(process, INPUT) for process in running}
    timings = take_turns(
        turns.values(), engines.schedule, lambda name: progress(f"{case.name}: {name}")
    )
    measurements = []
    for process, network in running.items():
        try:
            if process in timings.failures:
                raise EngineError(timings.failures[process])
            seconds = timings.seconds.get(turns[process], [])
            found = _inspect(pair, network, process, seconds)
            measurements.append(replace(found, loaded=engines.loaded(network)))
        except (EngineError, ValueError) as error:
            failures[network.label] = str(error)
            engines.drop(network)
    return measurements, failures


def _inspect(
    pair: Pair, network: ComparedNetwork, process: EngineProcess, seconds: list[float]
) -> Measurement:
    """Ask an engine for all but its times; the memory first, before other calls add to it."""
    peak = process.call("memory").peak if seconds else None
    sr = to_image(process.call("output", INPUT))
    return Measurement(
        network=network.label,
        set_name=pair.image.set_name,
        image=pair.image.name,
        lq_size=pair.lq_size,
        quality=compare(sr, pair.gt, network.source.upscale) if network.has_weights else None,
        seconds=seconds,
        peak_mib=peak,
        spa_densities=process.call("spa_densities", INPUT),
    )
