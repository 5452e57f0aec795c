"""Seconds: of the parts of a network, and of a few runs their median and quartiles."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple


class Summary(NamedTuple):
    """Of some runs' seconds."""

    median: float
    first_quartile: float
    third_quartile: float

    @property
    def spread(self) -> float:
        """How far the quartiles lie apart, as a share of the median."""
        return (self.third_quartile - self.first_quartile) / self.median


def summarise(seconds: Sequence[float]) -> Summary:
    """Return median and quartiles, interpolated between the runs nearest to them.

    Raises:
        ValueError: If there are no runs.
    """
    if not seconds:
        raise ValueError("no runs to summarise")
    if len(seconds) == 1:
        return Summary(seconds[0], seconds[0], seconds[0])
    first, median, third = statistics.quantiles(seconds, n=4, method="inclusive")
    return Summary(median, first, third)


class Timer:
    """Adds up the seconds spent in named parts.

    Attributes:
        seconds: By name, in the order of their first use.
        block_seconds: For each block that was run, the seconds of its own parts by name; `seconds`
            has them too.
        block: The number of the block at work, from 0; None between blocks.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.block_seconds: dict[int, dict[str, float]] = {}
        self.block: int | None = None

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time the body of a `with` statement."""
        start = time.perf_counter()
        yield
        elapsed = time.perf_counter() - start
        self.seconds[part] += elapsed
        if self.block is not None:
            self.block_seconds.setdefault(self.block, defaultdict(float))[part] += elapsed
