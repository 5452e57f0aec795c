"""The charts of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.report.chart import Chart, Key, category_axis, share_axis, value_axis
from smsr_plugin.report.detail import Detail
from smsr_plugin.report.measurements import BINS, Figures, ZeroShares, histogram
from smsr_plugin.report.speed import EVERY_PIXEL, PartTimes, SpeedPoint

BAR = 0.36  #: Half the width of a bar, in places of its axis.
MILLI = 1e3
#: Of the parts that belong to no block those that run before the blocks.
BEFORE = ("head", "masks")


def density_chart(densities: Sequence[float]) -> Chart:
    """Draw the share of important pixels of each block."""
    names = [str(number) for number in range(1, len(densities) + 1)]
    chart = Chart(
        "Density of the spatial mask of each block",
        category_axis("block", names),
        share_axis("density"),
    )
    for place, density in enumerate(densities):
        tip = f"block {names[place]}: {density:.3f}"
        chart.bar((place - BAR, place + BAR), (0, density), "important", tip)
        chart.text(place, density, f"{density:.2f}", dy=-5)
    return chart


def time_chart(parts: PartTimes) -> Chart:
    """Draw the time of each block, part upon part, between the parts before and after them."""
    own = list(dict.fromkeys(name for block in parts.blocks for name in block))
    before = {name: value for name, value in parts.others.items() if name in BEFORE}
    after = {name: value for name, value in parts.others.items() if name not in BEFORE}
    blocks = [(str(k), block) for k, block in enumerate(parts.blocks, 1)]
    columns = [("before", before), *blocks, ("after", after)]
    highest = max(sum(column.values()) for _, column in columns)
    chart = Chart(
        "Time of each block and of the rest of the network",
        category_axis("block", [name for name, _ in columns]),
        value_axis("ms", [highest * MILLI], from_zero=True),
        [Key(f"part-{i}", name) for i, name in enumerate(own)] + [Key("part-rest", "rest")],
    )
    for place, (name, column) in enumerate(columns):
        base = 0.0
        for part, seconds in column.items():
            top = base + seconds * MILLI
            is_rest = name in ("before", "after")
            style = "part-rest" if is_rest else f"part-{own.index(part)}"
            owner = f"{name} the blocks, " if is_rest else f"block {name}, "
            tip = f"{owner}{part}: {seconds * MILLI:.1f} ms"
            chart.bar((place - BAR, place + BAR), (base, top), style, tip)
            base = top
    return chart


def detail_chart(detail: Detail) -> Chart:
    """Draw the density of the masks, and what bicubic interpolation misses, against detail."""
    count = len(detail.group_density)
    names = [str(number) for number in range(1, count + 1)]
    names[0], names[-1] = ("flat", "detailed") if count > 1 else (names[0], names[0])
    highest = max(*detail.group_density, *detail.group_missed, 0.2)
    chart = Chart(
        "Density of the masks and share of bicubic interpolation's error, for pixels in groups "
        "from flat to detailed",
        category_axis("tenths of the pixels, by high-frequency energy", names),
        value_axis("share", [highest], from_zero=True),
        [
            Key("important", "density: share that the blocks compute"),
            Key("missed line", "share of bicubic’s squared error"),
        ],
    )
    for place, density in enumerate(detail.group_density):
        tip = f"group {place + 1}: density {density:.3f}"
        chart.bar((place - BAR, place + BAR), (0, density), "important", tip)
    chart.line(list(enumerate(detail.group_missed)), "missed line")
    for place, missed in enumerate(detail.group_missed):
        tip = f"group {place + 1}: {missed:.1%} of the error"
        chart.dot(place, missed, "missed", tip)
    return chart


def zeros_chart(shares: ZeroShares) -> Chart:
    """Draw the distribution of the share of zeros of the feature channels."""
    series = [
        ("unimportant", "at unimportant pixels", histogram(shares.unimportant)),
        ("important", "at important pixels", histogram(shares.important)),
    ]
    highest = max(float(values.max()) for _, _, values in series)
    chart = Chart(
        "Distribution of the share of zeros of the feature channels",
        share_axis("share of values that are zero"),
        value_axis("share of channels", [highest or 1.0], from_zero=True),
        [Key(f"{style} step", text) for style, text, _ in series],
    )
    for style, _, values in series:
        chart.line(_steps(values), f"{style} area")
        chart.line(_steps(values), f"{style} step")
    return chart


def _steps(values: NDArray[np.float64]) -> list[tuple[float, float]]:
    edges = np.linspace(0, 1, BINS + 1).repeat(2)
    heights = np.concatenate([[0.0], values.repeat(2), [0.0]])
    return list(zip(edges.tolist(), heights.tolist(), strict=True))


def time_curve(figures: Figures, y_label: str) -> Chart | None:
    """Draw PSNR against the time of a run; None where there is no point to draw."""
    return _curve(figures, "time, ms", lambda p: p.seconds and p.seconds * MILLI, y_label)


def kept_curve(figures: Figures, y_label: str) -> Chart | None:
    """Draw PSNR against the multiply-adds that are kept; None where there is no point to draw."""
    return _curve(figures, "multiply-adds kept, %", lambda p: p.kept * 100, y_label)


def _curve(
    figures: Figures, x_label: str, x_of: Callable[[SpeedPoint], float | None], y_label: str
) -> Chart | None:
    """Draw PSNR against a cost, one point for each finite threshold where both are known."""
    points = [
        (point.threshold, x, point.psnr)
        for point in figures.curve.points
        if point.psnr is not None
        and math.isfinite(point.psnr)
        and point.threshold != EVERY_PIXEL
        and (x := x_of(point)) is not None
    ]
    if not points:
        return None
    chart = Chart(
        f"{y_label} against {x_label}, for several thresholds",
        value_axis(x_label, [x for _, x, _ in points], from_zero=False),
        value_axis(y_label, [psnr for _, _, psnr in points], from_zero=False),
        [Key("important", "a threshold"), Key("chosen", "this page’s threshold")],
    )
    chart.line([(x, psnr) for _, x, psnr in points], "curve line")
    for threshold, x, psnr in points:
        style, radius = ("chosen", 5.0) if threshold == figures.threshold else ("important", 3.5)
        text = threshold_text(threshold)
        chart.dot(x, psnr, style, f"threshold {text}: {x:.4g}, {psnr:.3f} dB", radius)
        chart.free_text(x, psnr, text)
    return chart


def threshold_text(threshold: float) -> str:
    """Return how a threshold is written."""
    if threshold == EVERY_PIXEL:
        return "every pixel"
    return f"{threshold:g}".replace("-", "−")
