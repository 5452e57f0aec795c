"""Workers, turns and failures, with engines that only sleep."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from smsr_plugin.compare.crops import Case
from smsr_plugin.compare.engines.base import Input
from smsr_plugin.compare.engines.export import Exporter
from smsr_plugin.compare.engines.measure import Bench, measure_case
from smsr_plugin.compare.engines.process import EngineError, EngineProcess
from smsr_plugin.compare.engines.runner import Schedule
from smsr_plugin.compare.engines.spec import EngineSpec, Sources
from smsr_plugin.complexity import SMSRCost
from smsr_plugin.config import SMSRConfig

SCHEDULE = Schedule(rounds=4, timed=2, untimed=1, warm_up=1, pause=0.0, seed=3)


@pytest.fixture
def fake(tmp_path):
    """Return a function that makes the spec of a sleeping engine."""

    def make(name: str, milliseconds: float = 1, fails_at: str = "", **options) -> EngineSpec:
        env = {
            "PYTHONPATH": str(Path(__file__).parent),
            "RUN_LOG": str(tmp_path / "runs.txt"),
            "MILLISECONDS": str(milliseconds),
            "FAILS_AT": fails_at,
        }
        options = {"module": "fake_engines", "threads": 1, **options}
        return EngineSpec(name, "fake", "sleep", env=env, **options)

    return make


def _measure(specs, tmp_path, progress=lambda doing, turns: None):
    sources = Sources(Path("absent"))
    cost = SMSRCost(SMSRConfig())
    bench = Bench(sources, Exporter(tmp_path, sources), SCHEDULE, cost, progress)
    return measure_case(Case("noise", np.zeros((1, 3, 4, 4), np.float32)), specs, bench)


def test_engines_take_turns_and_failing_ones_leave(fake, tmp_path):
    specs = [
        fake("fast"),
        fake("slow", 8, threads=2),
        fake("absent", module="no_such_library"),
        fake("broken", fails_at="load"),
        fake("weary", fails_at="run 6"),
        fake("crashing", fails_at="exit 4"),
        fake("no export", model_format="no such format"),
    ]
    turns = []
    case = _measure(specs, tmp_path, lambda doing, count: turns.append(count))
    assert sum(turns) == len(specs) * SCHEDULE.rounds
    reasons = {engine.name: engine.failure for engine in case.engines}
    assert list(reasons) == [spec.name for spec in specs]
    assert reasons["fast"] is None
    assert reasons["slow"] is None
    assert reasons["absent"] == "ModuleNotFoundError: No module named 'no_such_library'"
    assert reasons["broken"] == "RuntimeError: weights are of the wrong colour"
    assert reasons["weary"] == "ValueError: no more runs"
    assert reasons["crashing"] == "its process ended with code 7: out of fuel"
    assert reasons["no export"].startswith("export to no such format failed")
    assert case.engine("weary") is None

    fast, slow = case.engine("fast"), case.engine("slow")
    assert fast.loaded == "a sleeper"
    assert len(fast.seconds) == len(slow.seconds) == SCHEDULE.rounds * SCHEDULE.timed
    assert min(fast.seconds) >= 0.001
    assert min(slow.seconds) >= 0.008
    assert fast.median < slow.median
    assert fast.max_abs is None  # there is no oracle for it

    runs = [line.split() for line in (tmp_path / "runs.txt").read_text().splitlines()]
    times = sorted((float(start), float(end)) for start, end, _ in runs)
    overlaps = [a for a, b in pairwise(times) if a[1] > b[0]]
    assert not overlaps
    assert {threads for *_, threads in runs} == {"1", "2"}
    # Each engine's runs come in turns of three, after one run of warm-up: never all in a row.
    order = [threads for *_, threads in runs]
    assert order.count("2") == 1 + SCHEDULE.rounds * 3
    assert "".join(order).strip("1").count("1") > 0


def test_a_call_that_takes_too_long_ends_the_process(fake):
    with EngineProcess(fake("hanging", fails_at="hang")) as process:
        process.call("import_library", process.spec)
        process.call("load", process.spec, Sources(Path("absent")), None)
        process.call("prepare", "lq", Input(np.zeros((1, 3, 2, 2), np.float32)))
        with pytest.raises(EngineError, match=r"turn took more than 0\.2 s"):
            process.call("turn", "lq", 0, 1, time_limit=0.2)
        with pytest.raises(EngineError, match="ended with code -9"):
            process.call("memory")
