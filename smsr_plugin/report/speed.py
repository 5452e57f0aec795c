"""Quality and time of the sparse network, at several thresholds and block by block."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from smsr_plugin.images.pixels import Luma, luma, to_image
from smsr_plugin.images.quality import psnr_inside
from smsr_plugin.sparse import SparseNetwork
from smsr_plugin.timing import summarise

#: Thresholds of the curve; at −∞ every pixel is important.
EVERY_PIXEL = -math.inf
TRAINED_FOR = 0.0
THRESHOLDS = (EVERY_PIXEL, -4.0, -2.0, TRAINED_FOR, 1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class SpeedPoint:
    """The sparse network at one threshold.

    Attributes:
        threshold: A pixel is important where logit 1 − logit 0 exceeds it.
        density: The mean of the blocks' masks.
        kept: The share of the dense multiply-adds that is computed.
        seconds: The median of a run.
        psnr: In dB on Y, against the ground truth or, without one, against the result at
            `TRAINED_FOR`: inf there. None for an image with nothing left inside the border.
    """

    threshold: float
    density: float
    kept: float
    seconds: float
    psnr: float | None


@dataclass(frozen=True)
class PartTimes:
    """Medians of the seconds that the parts of a run take.

    Attributes:
        blocks: For each block its parts by name.
        others: The parts outside of the blocks by name, in the order in which they run.
    """

    blocks: tuple[dict[str, float], ...]
    others: dict[str, float]


def thresholds_with(threshold: float) -> tuple[float, ...]:
    """Return `THRESHOLDS` and another one, in ascending order."""
    return tuple(sorted({*THRESHOLDS, threshold}))


def measure_curve(
    sparse: SparseNetwork,
    x: Tensor,
    reference: Luma | None,
    runs: int,
    progress: Callable[[], object],
) -> tuple[SpeedPoint, ...]:
    """Measure quality and time at `thresholds_with` the network's own threshold.

    The thresholds take turns, so that what else the machine does meets all of them.

    Args:
        sparse: The network; its threshold is as before in the end.
        x: (1, 3, H, W), 0…1.
        reference: Y of the ground truth; None to compare with the result at `TRAINED_FOR`.
        runs: Timed runs at each threshold, after one that is not.
        progress: Called after each turn of all thresholds, 1 + `runs` times.
    """
    own, thresholds = sparse.threshold, thresholds_with(sparse.threshold)
    seconds: dict[float, list[float]] = defaultdict(list)
    try:
        results = {threshold: _run(sparse, x, threshold) for threshold in thresholds}
        progress()
        for _ in range(runs):
            for threshold in thresholds:
                sparse.threshold = threshold
                start = time.perf_counter()
                sparse(x)
                seconds[threshold].append(time.perf_counter() - start)
            progress()
    finally:
        sparse.threshold = own
    if reference is None:
        reference = results[TRAINED_FOR][0]
    return tuple(
        SpeedPoint(
            threshold,
            density,
            kept,
            summarise(seconds[threshold]).median,
            psnr_inside(y, reference, sparse.config.upscale),
        )
        for threshold, (y, density, kept) in results.items()
    )


def _run(sparse: SparseNetwork, x: Tensor, threshold: float) -> tuple[Luma, float, float]:
    """Return the luminance, the density and the share of multiply-adds kept."""
    sparse.threshold = threshold
    sr, stats = sparse(x, return_stats=True)
    return luma(to_image(sr.numpy())), float(stats.spa_density.mean()), stats.kept


def measure_parts(sparse: SparseNetwork, x: Tensor, runs: int) -> PartTimes | None:
    """Time the parts of the network; None where the native kernels do not run it."""
    try:
        timers = [sparse.timed(x) for _ in range(runs)]
    except RuntimeError:
        return None
    blocks = tuple(
        _medians([timer.block_seconds[k] for timer in timers])
        for k in sorted(timers[0].block_seconds)
    )
    everything = _medians([timer.seconds for timer in timers])
    return PartTimes(
        blocks, {name: value for name, value in everything.items() if name not in blocks[0]}
    )


def _medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: summarise([run[name] for run in runs]).median for name in runs[0]}
