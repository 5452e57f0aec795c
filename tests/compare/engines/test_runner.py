"""Workers, turns and failures, with engines that only sleep."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from smsr_plugin.compare.images import Case, ImageSource
from smsr_plugin.compare.measure import Engines, measure_image
from smsr_plugin.compare.resolve import ComparedNetwork
from smsr_plugin.engines.base import Input
from smsr_plugin.engines.process import EngineError, EngineProcess, Schedule
from smsr_plugin.engines.spec import EngineSpec
from smsr_plugin.networks.source import NetworkSource

#: Where `fake_engines` is, and what the tests were started with.
PYTHONPATH = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
SCHEDULE = Schedule(rounds=4, timed=2, untimed=1, warm_up=1, pause=0.0, seed=3)
CASE = Case(ImageSource("crops", "noise"), np.zeros((1, 3, 4, 4), np.float32))


@pytest.fixture
def fake(tmp_path):
    """Return a function that makes a sleeping engine."""

    def make(name: str, milliseconds: float = 1, fails_at: str = "", **options) -> ComparedNetwork:
        env = {
            "PYTHONPATH": os.pathsep.join(PYTHONPATH),
            "RUN_LOG": str(tmp_path / "runs.txt"),
            "MILLISECONDS": str(milliseconds),
            "FAILS_AT": fails_at,
        }
        options = {"module": "fake_engines", "threads": 1, **options}
        source = NetworkSource("smsr", "SMSR", 2) if "model_format" in options else None
        spec = EngineSpec(name, "sleep", env=env, **options)
        return ComparedNetwork(name, name, "fake", source, spec)

    return make


def test_engines_take_turns_and_failing_ones_leave(fake, tmp_path):
    networks = [
        fake("fast"),
        fake("slow", 8, threads=2),
        fake("absent", module="no_such_library"),
        fake("broken", fails_at="load"),
        fake("weary", fails_at="run 6"),
        fake("crashing", fails_at="exit 4"),
        fake("no export", model_format="no such format"),
    ]
    doing = []
    with Engines(tmp_path, SCHEDULE) as engines:
        found, failures = measure_image(CASE, networks, engines, False, doing.append)
    assert failures.pop("no export").startswith("export to no such format failed")
    assert failures == {
        "absent": "ModuleNotFoundError: No module named 'no_such_library'",
        "broken": "RuntimeError: weights are of the wrong colour",
        "weary": "ValueError: no more runs",
        "crashing": "its process ended with code 7: out of fuel",
    }
    assert doing.count("crops/noise: slow") == SCHEDULE.rounds

    fast, slow = found
    assert (fast.network, slow.network, fast.loaded) == ("fast", "slow", "a sleeper")
    assert len(fast.seconds) == len(slow.seconds) == SCHEDULE.rounds * SCHEDULE.timed
    assert min(fast.seconds) >= 0.001
    assert min(slow.seconds) >= 0.008
    assert fast.median < slow.median
    assert fast.difference is None  # there is no network to compare with

    runs = [line.split() for line in (tmp_path / "runs.txt").read_text().splitlines()]
    times = sorted((float(start), float(end)) for start, end, _ in runs)
    overlaps = [a for a, b in pairwise(times) if a[1] > b[0]]
    assert not overlaps
    assert {threads for *_, threads in runs} == {"1", "2"}
    # Each engine's runs come in turns of three, after one run of warm-up: never all in a row.
    order = [threads for *_, threads in runs]
    assert order.count("2") == 1 + SCHEDULE.rounds * 3
    assert "".join(order).strip("1").count("1") > 0


def test_processes_end_with_an_image_if_they_are_to_be_fresh(fake, tmp_path):
    for fresh, loads in ((False, 1), (True, 2)):
        log = tmp_path / "loads.txt"
        log.write_text("")
        network = fake("fast", module="fake_engines")
        network.spec.env["LOAD_LOG"] = str(log)
        with Engines(tmp_path, SCHEDULE, fresh) as engines:
            for _ in range(2):
                measure_image(CASE, [network], engines, False, print)
        assert len(log.read_text().splitlines()) == loads


def test_a_call_that_takes_too_long_ends_the_process(fake):
    spec = fake("hanging", fails_at="hang").spec
    with EngineProcess(spec) as process:
        process.call("import_library", spec)
        process.call("load", spec, None, None)
        process.call("prepare", "lq", Input(np.zeros((1, 3, 2, 2), np.float32)))
        with pytest.raises(EngineError, match=r"turn took more than 0\.2 s"):
            process.call("turn", "lq", 0, 1, time_limit=0.2)
        with pytest.raises(EngineError, match="ended with code -9"):
            process.call("memory")


def test_nothing_of_the_current_folder_is_imported(fake, tmp_path, monkeypatch):
    marker = tmp_path / "MARKER"
    for name in ("numpy", "random", "struct", "tempfile", "fake_engines"):
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    spec = fake("fast").spec
    with EngineProcess(spec) as process:
        process.call("import_library", spec)
        process.call("load", spec, None, None)
    assert not marker.exists()
    # The files would have been found: a plain `python -c` does look here.
    subprocess.run([sys.executable, "-c", "import tempfile"], check=False, env={"PATH": ""})
    assert marker.exists()
