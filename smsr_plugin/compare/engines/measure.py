"""All engines on one image: start, take turns, then ask each for memory, output and densities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.compare.crops import Case
from smsr_plugin.compare.difference import ORACLES, difference, oracle_output
from smsr_plugin.compare.engines.base import Input
from smsr_plugin.compare.engines.export import Exporter, ExportError
from smsr_plugin.compare.engines.process import EngineError, EngineProcess
from smsr_plugin.compare.engines.results import CaseResult, EngineResult
from smsr_plugin.compare.engines.runner import Schedule, Turn, take_turns
from smsr_plugin.compare.engines.spec import EngineSpec, Sources
from smsr_plugin.complexity import SMSRCost

#: The key of an engine's only input.
INPUT = "lq"
#: Runs of which the breakdown is taken.
BREAKDOWN_RUNS = 5

#: An engine with the inputs that it is to be prepared for.
Plan = tuple[EngineSpec, Mapping[str, Input]]


class Bench(NamedTuple):
    """What all measurements of a benchmark share."""

    sources: Sources
    exporter: Exporter
    schedule: Schedule
    cost: SMSRCost  #: Of the network in `sources`.
    #: Called with what is being done and how many turns have just been done or given up.
    progress: Callable[[str, int], object] = lambda doing, turns: None


class Started(NamedTuple):
    """The engines that are loaded and warm, and why the others are not."""

    processes: list[EngineProcess]
    failures: dict[str, str]
    loaded: dict[str, str]  #: What the libraries say they loaded (see `Engine`).


def measure_case(case: Case, specs: Sequence[EngineSpec], bench: Bench) -> CaseResult:
    """Measure engines on one image; an engine that fails has the reason for its result."""
    results = {spec.name: _empty_result(spec) for spec in specs}
    plans = [(spec, {INPUT: Input(case.lq)}) for spec in specs]
    with started(plans, case, bench) as (processes, failures, loaded):
        turns = [Turn(process, INPUT) for process in processes]
        timings = take_turns(turns, bench.schedule, turn_counter(case, bench))
        failures.update({p.spec.name: reason for p, reason in timings.failures.items()})
        expected: dict[str, NDArray[np.float64]] = {}
        for (process, _), seconds in timings.seconds.items():
            name, oracle = process.spec.name, ORACLES.get(process.spec.network)
            bench.progress(f"{case.name}: output of {name}", 0)
            if oracle and oracle not in expected:
                expected[oracle] = oracle_output(oracle, bench.sources, case.lq)
            try:
                _inspect(process, results[name], expected[oracle] if oracle else None)
                results[name].seconds = seconds
                if densities := results[name].spa_densities:
                    results[name].macs = bench.cost.macs(densities, case.pixels)
            except (EngineError, ValueError) as error:
                failures[name] = str(error)
    for name, result in results.items():
        result.failure, result.loaded = failures.get(name), loaded.get(name, "")
    return CaseResult(case.name, case.size, list(results.values()))


@contextmanager
def started(plans: Sequence[Plan], case: Case, bench: Bench) -> Iterator[Started]:
    """Start engines one by one, load, prepare and warm them up; end them with the block."""
    done = Started([], {}, {})
    with ExitStack() as stack:
        for spec, inputs in plans:
            bench.progress(f"{case.name}: starting {spec.name}", 0)
            process = stack.enter_context(EngineProcess(spec))
            try:
                done.loaded[spec.name] = _load(process, inputs, case, bench)
                done.processes.append(process)
            except (EngineError, ExportError) as error:
                done.failures[spec.name] = str(error)
                process.close()
                bench.progress(f"{spec.name}: {error}", len(inputs) * bench.schedule.rounds)
        yield done


def turn_counter(case: Case, bench: Bench) -> Callable[[str], object]:
    """Return what `take_turns` is to call after each turn."""
    return lambda name: bench.progress(f"{case.name}: {name}", 1)


def _load(process: EngineProcess, inputs: Mapping[str, Input], case: Case, bench: Bench) -> str:
    # First, because an absent library should not cost an export.
    process.call("import_library", process.spec)
    loaded = load_network(process, bench.exporter, case.size)
    for key, given in inputs.items():
        prepare(process, key, given, bench.schedule)
    return loaded


def load_network(process: EngineProcess, exporter: Exporter, size: tuple[int, int]) -> str:
    """Load an engine's network for images of (width, height); return what was loaded.

    Raises:
        EngineError, ExportError: If that cannot be.
    """
    spec, model = process.spec, None
    if spec.model_format is not None:
        model = exporter.model(spec.network, spec.model_format, size)
    return process.call("load", spec, exporter.networks, model)


def prepare(process: EngineProcess, key: str, given: Input, schedule: Schedule) -> None:
    """Give a loaded engine an input and let it run until it is warm.

    Raises:
        EngineError: If it fails.
    """
    process.call("prepare", key, given)
    process.call("warm_up", key, schedule.warm_up)


def _empty_result(spec: EngineSpec) -> EngineResult:
    return EngineResult(
        spec.name, spec.network, spec.library, spec.precision, spec.threads, dict(spec.env)
    )


def _inspect(
    process: EngineProcess, result: EngineResult, expected: NDArray[np.float64] | None
) -> None:
    """Ask an engine for all but its times; the memory first, before other calls add to it."""
    result.peak_mib, result.running_peak_mib = process.call("memory")
    if expected is None:
        return
    result.max_abs, result.psnr = difference(process.call("output", INPUT), expected)
    result.spa_densities = process.call("spa_densities", INPUT)
    parts: dict[str, list[float]] = defaultdict(list)
    for _ in range(BREAKDOWN_RUNS):
        for part, seconds in (process.call("breakdown", INPUT) or {}).items():
            parts[part].append(seconds)
    result.breakdown = dict(parts) or None
