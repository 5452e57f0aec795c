"""Time against density, drawn."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from smsr_plugin.compare.engines.results import Sweep
from smsr_plugin.compare.floor import WINOGRAD_SAVING, floor_seconds
from smsr_plugin.timing import summarise

SIZE, DPI = (8.0, 5.0), 120


def draw(sweep: Sweep, path: Path) -> None:
    """Write the plot; its format is what the suffix of `path` says.

    Sparse engines are curves with their quartiles, dense ones horizontal lines in the order of
    their times, and the floor (see `floor`) is what the kept operations cost at the measured peak.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    for name in dict.fromkeys(point.engine for point in sweep.points):
        _draw_curve(axes, sweep, name)
    _draw_lines(axes, sweep, pyplot.get_cmap("tab10"))
    _draw_floor(axes, sweep)
    width, height = sweep.size
    axes.set(
        title=f"{sweep.case}, lq {width}×{height}: median time of a run",
        xlabel="mean spatial density",
        ylabel="seconds",
        xlim=(0, 1),
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)


def _draw_curve(axes: Any, sweep: Sweep, name: str) -> None:
    points = [point for point in sweep.points if point.engine == name]
    summaries = [summarise(point.seconds) for point in points]
    density = [point.density for point in points]
    (curve,) = axes.plot(
        density, [s.median for s in summaries], marker="o", linewidth=2, label=name
    )
    low, high = [s.first_quartile for s in summaries], [s.third_quartile for s in summaries]
    axes.fill_between(density, low, high, alpha=0.2, color=curve.get_color())


def _draw_lines(axes: Any, sweep: Sweep, colours: Any) -> None:
    medians = {name: summarise(seconds).median for name, seconds in sweep.lines.items()}
    for index, name in enumerate(sorted(medians, key=lambda name: -medians[name])):
        colour = colours(2 + index % 8)  # the first two are the curves'
        label = f"{name}, dense"
        axes.axhline(medians[name], color=colour, linestyle="--", linewidth=1.2, label=label)


def _draw_floor(axes: Any, sweep: Sweep) -> None:
    if sweep.peak_flops is None or not sweep.points:
        return
    kept = sorted({(point.density, point.macs) for point in sweep.points})
    density = [point[0] for point in kept]
    seconds = [floor_seconds(macs, sweep.peak_flops) for _, macs in kept]
    axes.plot(density, seconds, color="black", label="floor: kept operations at fp32 peak")
    ideal = [value / WINOGRAD_SAVING for value in seconds]
    label = f"floor / {WINOGRAD_SAVING:g}: all of it ideal Winograd"
    axes.plot(density, ideal, color="black", linestyle=":", label=label)
