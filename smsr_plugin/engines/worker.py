"""The process of one engine: waits for a call, does it, answers, waits again.

Started by `EngineProcess` with the number of a file descriptor. A call is `(method, arguments)`, a
method of `Worker`; an answer is `(True, value)` or `(False, reason)`. While it waits it is blocked
in a read and takes no time from the engine whose turn it is.

Peak memory is counted from the moment at which the interpreter and the engine's library have been
imported and nothing has been loaded yet: VmHWM − VmRSS of then. It therefore holds the weights in
all their packed forms, the input, features, scratch memory and what compiling the network needs,
and not the library's code. `Memory.running` is the same for the time after the warm-up alone.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from smsr_plugin.engines.base import Engine, Input, Inspection, Job, import_engine
from smsr_plugin.engines.spec import EngineSpec
from smsr_plugin.machine import Memory, peak_mib, reset_peak, resident_mib
from smsr_plugin.networks.source import NetworkSource


class Worker:
    """The calls that the parent can make."""

    engine: Engine

    def __init__(self) -> None:
        self.prepared: dict[str, Any] = {}
        self.baseline: float | None = None
        self.load_peak: float | None = None
        self.can_reset = True

    def import_library(self, spec: EngineSpec) -> None:
        """Import an engine's module with its library; memory is counted from here."""
        self.module = import_engine(spec.module)
        for module in spec.imports:
            importlib.import_module(module)
        self.can_reset = reset_peak()
        self.baseline = resident_mib()

    def load(self, spec: EngineSpec, source: NetworkSource | None, model: Path | None) -> str:
        """Load the network; return what was loaded, where the specification leaves that open."""
        self.engine = self.module.load(Job(spec, source, model))
        return self.engine.loaded

    def prepare(self, key: str, given: Input) -> None:
        """Convert an input to the library's own type and keep it under `key`."""
        self.prepared[key] = self.engine.prepare(given)

    def warm_up(self, key: str, runs: int) -> None:
        """Run untimed; then let the peak of the memory begin anew."""
        self.turn(key, runs, 0)
        self.load_peak = peak_mib()
        self.can_reset = self.can_reset and reset_peak()

    def turn(self, key: str, untimed: int, timed: int) -> list[float]:
        """Run `untimed` and then `timed` times; return the seconds of the timed runs."""
        prepared, run = self.prepared[key], self.engine.run
        for _ in range(untimed):
            run(prepared)
        seconds = []
        for _ in range(timed):
            start = time.perf_counter()
            run(prepared)
            seconds.append(time.perf_counter() - start)
        return seconds

    def memory(self) -> Memory:
        """Return the peaks; to be asked after the last turn and before anything else."""
        now = peak_mib()
        if self.baseline is None or now is None or not self.can_reset:
            return Memory(None, None)
        peak = max(now, self.load_peak or 0)
        return Memory(peak - self.baseline, now - self.baseline)

    def inspect(self, key: str) -> Inspection:
        """Run once and return the image and the masks' densities."""
        return self.engine.inspect(self.prepared[key])

    def breakdown(self, key: str) -> dict[str, float] | None:
        """Run once and return the seconds of each part; None where the engine has no such."""
        return self.engine.breakdown(self.prepared[key])


def serve(connection: Connection, worker: Worker) -> None:
    """Answer calls until the parent hangs up."""
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = (True, getattr(worker, method)(*arguments))
        except Exception as error:  # whatever an engine raises is its result
            answer = (False, f"{type(error).__name__}: {error}")
        connection.send(answer)


def main() -> None:
    """Serve the parent at the other end of the file descriptor that the command line names."""
    # The parent decides when to stop; an interrupt from the keyboard reaches it too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not mix with the parent's output.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(Connection(int(sys.argv[1])), Worker())
