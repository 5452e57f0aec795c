"""Engines that do nothing but take time, or fail in every way; imported by workers."""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from smsr_plugin.engines.base import Engine, Image, Input, Job


class FakeEngine(Engine):
    """Sleeps for MILLISECONDS; writes each run's start and end to the file RUN_LOG."""

    loaded = "a sleeper"

    def __init__(self, fails_at: str) -> None:
        self.fails_at = fails_at
        self.seconds = float(os.environ["MILLISECONDS"]) / 1e3
        self.runs = 0

    def prepare(self, given: Input) -> Image:
        return given.lq

    def run(self, prepared: Image) -> Image:
        self.runs += 1
        if self.fails_at == "run 6" and self.runs == 6:
            raise ValueError("no more\n  runs")
        if self.fails_at == "exit 4" and self.runs == 4:
            print("out of fuel", file=sys.stderr, flush=True)
            os._exit(7)
        if self.fails_at == "hang":
            time.sleep(60)
        start = time.monotonic()
        time.sleep(self.seconds)
        with open(os.environ["RUN_LOG"], "a") as log:  # noqa: PTH123
            log.write(f"{start} {time.monotonic()} {os.environ['OMP_NUM_THREADS']}\n")
        return prepared

    def output(self, result: Image) -> Image:
        return np.repeat(np.repeat(result, 2, 2), 2, 3)

    def breakdown(self, prepared: Image) -> dict[str, float]:
        return {"sleep": self.seconds, "wake": 0.0}


def load(job: Job) -> Engine:
    """Load an engine that fails where the variable FAILS_AT says."""
    fails_at = os.environ.get("FAILS_AT", "")
    if log := os.environ.get("LOAD_LOG"):
        with open(log, "a") as file:  # noqa: PTH123
            file.write(f"{job.spec.name}\n")
    if fails_at == "load":
        raise RuntimeError("weights are of the wrong colour")
    return FakeEngine(fails_at)
