"""Time against density, from nothing important to everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints import load
from smsr_plugin.compare.crops import Case
from smsr_plugin.compare.density import Threshold, thresholds_for
from smsr_plugin.compare.engines.base import Input
from smsr_plugin.compare.engines.measure import INPUT, Bench, Plan, started, turn_counter
from smsr_plugin.compare.engines.process import EngineError
from smsr_plugin.compare.engines.results import Sweep, SweepPoint
from smsr_plugin.compare.engines.runner import Timings, Turn, take_turns
from smsr_plugin.compare.engines.spec import MATMUL, EngineSpec
from smsr_plugin.compare.floor import peak_flops
from smsr_plugin.complexity import SMSRCost

DENSITIES = tuple(step / 10 for step in range(11))
#: The sparse engines that are swept, and the networks that run beside them as they are.
SWEPT = ("ours", "ours-bf16")
FIXED = ("twin", "matmul")


def sweep_plans(
    specs: Sequence[EngineSpec], case: Case, thresholds: Mapping[str, Threshold]
) -> list[Plan]:
    """Return what to run: swept engines at every threshold, dense ones as they are.

    Args:
        specs: Engines to choose from; masked, reference and comparison engines are left out.
        case: The image.
        thresholds: By the key of the input they make.
    """
    swept = {key: Input(case.lq, given.threshold) for key, given in thresholds.items()}
    fixed = {INPUT: Input(case.lq)}
    return [
        (spec, swept if spec.name in SWEPT else fixed)
        for spec in specs
        if spec.name in SWEPT or spec.network in FIXED
    ]


def sweep_turns(specs: Sequence[EngineSpec]) -> int:
    """Return how many turns a round of the sweep has."""
    return sum(len(DENSITIES) if spec.name in SWEPT else spec.network in FIXED for spec in specs)


def measure_sweep(case: Case, specs: Sequence[EngineSpec], bench: Bench) -> Sweep:
    """Measure the swept engines at each of `DENSITIES` beside the dense engines."""
    bench.progress(f"{case.name}: thresholds for densities", 0)
    thresholds = _thresholds(load(bench.sources.weights), case)
    with started(sweep_plans(specs, case, thresholds), case, bench) as (processes, failures, _):
        turns = [
            Turn(process, key)
            for process in processes
            for key in (thresholds if process.spec.name in SWEPT else [INPUT])
        ]
        timings = take_turns(turns, bench.schedule, turn_counter(case, bench))
        failures.update({p.spec.name: reason for p, reason in timings.failures.items()})
        return _gather(case, bench.cost, timings, failures)


def _thresholds(net: SMSR, case: Case) -> dict[str, Threshold]:
    """Return the thresholds by the wanted density, as text."""
    found = thresholds_for(net, torch.from_numpy(case.lq), DENSITIES)
    return {f"{density:g}": given for density, given in zip(DENSITIES, found, strict=True)}


def _gather(case: Case, cost: SMSRCost, timings: Timings, failures: dict[str, str]) -> Sweep:
    sweep = Sweep(case.name, case.size, [], {}, None, failures)
    for (process, key), seconds in timings.seconds.items():
        name = process.spec.name
        if name == MATMUL:
            sweep.peak_flops = peak_flops(seconds)
        elif name not in SWEPT:
            sweep.lines[name] = seconds
        else:
            try:
                densities = process.call("spa_densities", key)
            except EngineError as error:
                failures[name] = str(error)
                continue
            mean = sum(densities) / len(densities)
            macs = cost.macs(densities, case.pixels)
            sweep.points.append(SweepPoint(name, mean, macs, seconds))
    sweep.points.sort(key=lambda point: (point.engine, point.density))
    return sweep
