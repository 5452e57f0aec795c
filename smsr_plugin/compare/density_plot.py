"""Time against the density of the masks, drawn."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from smsr_plugin.compare.costs import WINOGRAD_SAVING, floor_seconds
from smsr_plugin.compare.image_markdown import Row, peak_of
from smsr_plugin.compare.measurement import Measurement
from smsr_plugin.compare.presets import MATMUL_TITLE

SIZE = (8.0, 5.0)  #: Inches.


def draw_density(rows: Sequence[Row]) -> Any:
    """Draw the sweep of one image; None if there is none.

    Sparse engines are curves with their quartiles, dense ones horizontal lines in the order of
    their times, and the floor (see `costs`) is what the kept operations cost at the measured peak.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    curves: dict[str, list[Measurement]] = {}
    lines: dict[str, float] = {}
    for network, measured in rows:
        if measured.median is None or network.title == MATMUL_TITLE:
            continue
        if measured.wanted_density is None:
            lines[network.label] = measured.median
        else:
            curves.setdefault(network.label, []).append(measured)
    if not curves:
        return None
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    for label, points in curves.items():
        _draw_curve(axes, label, points)
    _draw_lines(axes, lines, pyplot.get_cmap("tab10"))
    points = [point for curve in curves.values() for point in curve]
    _draw_floor(axes, points, peak_of(rows))
    width, height = points[0].lq_size
    axes.set(
        title=f"{points[0].image}, lq {width}×{height}: median time of a run",
        xlabel="mean spatial density",
        ylabel="seconds",
        xlim=(0, 1),
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _draw_curve(axes: Any, label: str, points: Sequence[Measurement]) -> None:
    points = sorted(points, key=lambda point: point.density or 0)
    summaries = [point.summary for point in points if point.summary]
    density = [point.density for point in points]
    (curve,) = axes.plot(
        density, [s.median for s in summaries], marker="o", linewidth=2, label=label
    )
    low, high = [s.first_quartile for s in summaries], [s.third_quartile for s in summaries]
    axes.fill_between(density, low, high, alpha=0.2, color=curve.get_color())


def _draw_lines(axes: Any, medians: dict[str, float], colours: Any) -> None:
    for index, name in enumerate(sorted(medians, key=lambda name: -medians[name])):
        colour = colours(2 + index % 8)  # the first two are the curves'
        label = f"{name}, dense"
        axes.axhline(medians[name], color=colour, linestyle="--", linewidth=1.2, label=label)


def _draw_floor(axes: Any, points: Sequence[Measurement], peak: float | None) -> None:
    if peak is None:
        return
    kept = sorted({(p.density, p.macs) for p in points if p.density is not None and p.macs})
    density = [point[0] for point in kept]
    seconds = [floor_seconds(macs, peak) for _, macs in kept]
    axes.plot(density, seconds, color="black", label="floor: kept operations at fp32 peak")
    ideal = [value / WINOGRAD_SAVING for value in seconds]
    label = f"floor / {WINOGRAD_SAVING:g}: all of it ideal Winograd"
    axes.plot(density, ideal, color="black", linestyle=":", label=label)
