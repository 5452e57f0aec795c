"""Turn-taking: engines run one after the other, round by round, each while all others sleep."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from smsr_plugin.engines.process import EngineError, EngineProcess


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
