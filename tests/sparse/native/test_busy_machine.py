"""Beside other processes that want the same cores, threads do not wait at their expense."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

from smsr_plugin.checkpoints.shipped import default_weights
from smsr_plugin.runtime import Runtime

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
RUNS, SIZE = 4, 64


@pytest.fixture
def others() -> Iterator[None]:
    """Keep every core busy, twice over."""
    command = [sys.executable, "-S", "-c", "print(flush=True)\nwhile True: pass"]
    busy = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2 * CORES)]
    try:
        for process in busy:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in busy:
            process.kill()
            process.communicate()


def processor_seconds(threads: int) -> float:
    """Return the seconds of all threads together that a run takes."""
    runtime = Runtime.load(default_weights(2), threads=threads)
    lq = np.random.default_rng(0).random((3, SIZE, SIZE), np.float32)
    runtime(lq)
    start = time.process_time()
    for _ in range(RUNS):
        runtime(lq)
    return (time.process_time() - start) / RUNS


@pytest.mark.skipif(CORES < 2, reason="one core has one thread")
def test_threads_that_wait_take_no_core_from_others(others):
    """With OpenMP, whose threads watch for work, several threads took 25 times as much as one."""
    alone = processor_seconds(1)
    assert processor_seconds(CORES) < 1.5 * alone
