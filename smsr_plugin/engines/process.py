"""Engines in processes of their own, as the parent sees them, and how they take turns."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from typing import Any, NamedTuple

from smsr_plugin.engines.spec import EngineSpec

#: Read by OpenMP, MKL and OpenBLAS when they are loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: Seconds that a call may take; compiling a network is the longest.
TIME_LIMIT = 900.0
#: Seconds that a process may take to end after its pipe was closed.
END_LIMIT = 5.0
#: What the interpreter runs. With -c and -m it looks for modules in the current folder first, and a
#: module that lies beside somebody's images must not be taken for one of ours.
START = (
    "import sys; sys.path[:] = sys.path[sys.path[0] == '':]; "
    "from smsr_plugin.engines.worker import main; main()"
)
#: Characters of a reason that are kept.
REASON_LENGTH = 300


class EngineError(RuntimeError):
    """An engine is not available: the reason."""


class EngineProcess:
    """Starts a worker and calls it.

    Args:
        spec: The engine; its process gets its `env` and thread count before any import.

    Use it as a context manager, so that the process ends with the block.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by `close`
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, str(theirs.fileno())],
                env=_environment(spec.threads, spec.env),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
            )

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def call(self, method: str, *arguments: Any, time_limit: float = TIME_LIMIT) -> Any:
        """Call a method of `Worker` and return its value.

        Raises:
            EngineError: If it raised, took too long, or its process ended; in the latter two cases
                the process is ended.
        """
        try:
            self._connection.send((method, arguments))
            if not self._connection.poll(time_limit):
                self._process.kill()
                raise EngineError(f"{method} took more than {time_limit:g} s")
            succeeded, value = self._connection.recv()
        except (EOFError, OSError) as error:
            raise EngineError(self._last_words()) from error
        if not succeeded:
            raise EngineError(_shortened(value))
        return value

    def close(self) -> None:
        """End the process; a second call does nothing."""
        self._connection.close()
        try:
            self._process.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _last_words(self) -> str:
        """Return how the process ended and the last line it wrote."""
        try:
            code = self._process.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._log.seek(0)
        last_line = self._log.read().decode(errors="replace").strip().rpartition("\n")[2]
        return _shortened(f"its process ended with code {code}: {last_line}".removesuffix(": "))


def _environment(threads: int, extra: Mapping[str, str]) -> dict[str, str]:
    counts = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**os.environ, **counts, **extra}


def _shortened(text: str) -> str:
    """Return the text on one line."""
    return " ".join(text.split())[:REASON_LENGTH]


@dataclass(frozen=True)
class Schedule:
    """How often engines run, and in which order.

    Attributes:
        rounds: How many turns each engine gets.
        timed: Timed runs of a turn.
        untimed: Runs of a turn before them: the caches hold another engine's data when it begins.
        warm_up: Untimed runs after loading.
        pause: Seconds before each turn, in which the previous engine's threads fall asleep; they
            spin for up to some tens of milliseconds after their last run.
        seed: Of the order, which is shuffled anew for each round.
    """

    rounds: int = 7
    timed: int = 1
    untimed: int = 1
    warm_up: int = 2
    pause: float = 0.1
    seed: int = 0


class Turn(NamedTuple):
    """What takes turns: an engine with one of its inputs."""

    process: EngineProcess
    key: str


class Timings(NamedTuple):
    """What a run of all rounds yielded."""

    seconds: dict[Turn, list[float]]  #: Of the timed runs, in order; none of engines that failed.
    failures: dict[EngineProcess, str]  #: The reason for each engine that failed on the way.


def take_turns(
    turns: Iterable[Turn], schedule: Schedule, on_turn: Callable[[str], object] = lambda name: None
) -> Timings:
    """Let the engines run in turns.

    Args:
        turns: Engines that are loaded and warm, with the key of a prepared input each.
        schedule: How often and in which order.
        on_turn: Called with the engine's name after each turn.

    An engine that fails takes no more turns and its runs are dropped; the others go on.
    """
    turns, order = list(turns), random.Random(schedule.seed)
    seconds: dict[Turn, list[float]] = defaultdict(list)
    failures: dict[EngineProcess, str] = {}
    for _ in range(schedule.rounds):
        order.shuffle(turns)
        for turn in turns:
            if turn.process not in failures:
                time.sleep(schedule.pause)
                try:
                    seconds[turn] += turn.process.call(
                        "turn", turn.key, schedule.untimed, schedule.timed
                    )
                except EngineError as error:
                    failures[turn.process] = str(error)
            on_turn(turn.process.spec.name)
    kept = {turn: runs for turn, runs in seconds.items() if turn.process not in failures}
    return Timings(kept, failures)
