"""Quality and time of the sparse network, at several thresholds and block by block.

Runs whose times differ too much are repeated; what differs still is no figure to be shown.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from torch import Tensor

from smsr_plugin.images.pixels import Luma, luma, to_image
from smsr_plugin.images.quality import psnr_inside
from smsr_plugin.sparse import SparseNetwork
from smsr_plugin.timing import Summary, Timer, summarise

#: Thresholds of the curve; at −∞ every pixel is important.
EVERY_PIXEL = -math.inf
TRAINED_FOR = 0.0
THRESHOLDS = (EVERY_PIXEL, -4.0, -2.0, TRAINED_FOR, 1.0, 2.0, 3.0, 4.0)
#: A time is shown where the quartiles of its runs lie at most this share of the median apart, …
STEADY = 0.1
#: … and runs are repeated until that is so, up to so many times as many as were asked for.
MOST_TIMES = 3


@dataclass(frozen=True)
class SpeedPoint:
    """The sparse network at one threshold.

    Attributes:
        threshold: A pixel is important where logit 1 − logit 0 exceeds it.
        density: The mean of the blocks' masks.
        kept: The share of the dense multiply-adds that is computed.
        times: Of the runs.
        psnr: In dB on Y, against the ground truth or, without one, against the result at
            `TRAINED_FOR`: inf there. None for an image with nothing left inside the border.
    """

    threshold: float
    density: float
    kept: float
    times: Summary
    psnr: float | None

    @property
    def seconds(self) -> float | None:
        """The median of a run; None where the runs differ too much to say."""
        return self.times.median if self.times.spread <= STEADY else None


@dataclass(frozen=True)
class Curve:
    """The sparse network at several thresholds, in ascending order.

    Attributes:
        points: One for each threshold.
        runs: How many were timed at each.
    """

    points: tuple[SpeedPoint, ...]
    runs: int

    @property
    def spread(self) -> float:
        """The widest spread of a threshold's times."""
        return max(point.times.spread for point in self.points)

    @property
    def unsteady(self) -> int:
        """How many thresholds have no time."""
        return sum(point.seconds is None for point in self.points)


@dataclass(frozen=True)
class PartTimes:
    """Medians of the seconds that the parts of a run take.

    Attributes:
        blocks: For each block its parts by name.
        others: The parts outside of the blocks by name, in the order in which they run.
        whole: Of the sum of all parts.
    """

    blocks: tuple[dict[str, float], ...]
    others: dict[str, float]
    whole: Summary

    @property
    def is_steady(self) -> bool:
        """Whether the runs agree well enough to be shown."""
        return self.whole.spread <= STEADY


def thresholds_with(threshold: float) -> tuple[float, ...]:
    """Return `THRESHOLDS` and another one, in ascending order."""
    return tuple(sorted({*THRESHOLDS, threshold}))


def measure_curve(
    sparse: SparseNetwork,
    x: Tensor,
    reference: Luma | None,
    runs: int,
    progress: Callable[[], object],
) -> Curve:
    """Measure quality and time at `thresholds_with` the network's own threshold.

    The thresholds take turns, so that what else the machine does meets all of them.

    Args:
        sparse: The network; its threshold is as before in the end.
        x: (1, 3, H, W), 0…1.
        reference: Y of the ground truth; None to compare with the result at `TRAINED_FOR`.
        runs: Timed runs at each threshold, after one that is not; up to `MOST_TIMES` as many where
            their times differ.
        progress: Called after each turn of all thresholds but for those that are repeated: 1 +
            `runs` times.
    """
    own, thresholds = sparse.threshold, thresholds_with(sparse.threshold)
    seconds: dict[float, list[float]] = defaultdict(list)

    def turn() -> None:
        for threshold in thresholds:
            sparse.threshold = threshold
            start = perf_counter()
            sparse(x)
            seconds[threshold].append(perf_counter() - start)

    try:
        results = {threshold: _run(sparse, x, threshold) for threshold in thresholds}
        progress()
        for number in range(1, MOST_TIMES * runs + 1):
            turn()
            if number <= runs:
                progress()
            if number >= runs and all(_is_steady(times) for times in seconds.values()):
                break
    finally:
        sparse.threshold = own
    if reference is None:
        reference = results[TRAINED_FOR][0]
    points = (
        SpeedPoint(
            threshold,
            density,
            kept,
            summarise(seconds[threshold]),
            psnr_inside(y, reference, sparse.config.upscale),
        )
        for threshold, (y, density, kept) in results.items()
    )
    return Curve(tuple(points), len(seconds[own]))


def _is_steady(seconds: Sequence[float]) -> bool:
    return summarise(seconds).spread <= STEADY


def _run(sparse: SparseNetwork, x: Tensor, threshold: float) -> tuple[Luma, float, float]:
    """Return the luminance, the density and the share of multiply-adds kept."""
    sparse.threshold = threshold
    sr, stats = sparse(x, return_stats=True)
    return luma(to_image(sr.numpy())), float(stats.spa_density.mean()), stats.kept


def measure_parts(sparse: SparseNetwork, x: Tensor, runs: int) -> PartTimes | None:
    """Time the parts of the network; None where the native kernels do not run it.

    Args:
        sparse, x, runs: As of `measure_curve`.
    """
    if not sparse.runs_native:
        return None
    timers: list[Timer] = []
    while len(timers) < runs or (
        len(timers) < MOST_TIMES * runs and not _is_steady([_whole(timer) for timer in timers])
    ):
        timers.append(sparse.timed(x))
    blocks = tuple(
        _medians([timer.block_seconds[k] for timer in timers])
        for k in sorted(timers[0].block_seconds)
    )
    everything = _medians([timer.seconds for timer in timers])
    own = {name for block in blocks for name in block}
    others = {name: value for name, value in everything.items() if name not in own}
    return PartTimes(blocks, others, summarise([_whole(timer) for timer in timers]))


def _whole(timer: Timer) -> float:
    return sum(timer.seconds.values())


def _medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: summarise([run[name] for run in runs]).median for name in runs[0]}
