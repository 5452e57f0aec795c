"""Which networks give the most quality for their cost."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]


def frontier(points: Sequence[Point]) -> list[Point]:
    """Return the Pareto frontier of (cost, quality), by rising cost.

    A point is on it if no other one costs at most as much and has at least its quality, equal
    points aside.
    """
    best: list[Point] = []
    for cost, quality in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or quality > best[-1][1]:
            best.append((cost, quality))
    return best
