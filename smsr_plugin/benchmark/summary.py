"""Median and quartiles of a few runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Summary(NamedTuple):
    """Of some runs' seconds."""

    median: float
    first_quartile: float
    third_quartile: float


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
