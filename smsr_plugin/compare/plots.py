"""Quality against what it costs, and time against what is computed, drawn."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from statistics import correlation
from typing import Any

from smsr_plugin.compare.costs import WINOGRAD_SAVING, floor_seconds
from smsr_plugin.compare.image_markdown import Row, peak_of
from smsr_plugin.compare.labels import label_points
from smsr_plugin.compare.presets import MATMUL_TITLE
from smsr_plugin.compare.resolve import DIAL_MARK
from smsr_plugin.compare.results import Comparison, Measurement, NetworkResult

PANEL, COLUMNS = (4.4, 3.8), 3
#: Inches beside the panels for the names of the networks, where they are not at the points.
LEGEND_WIDTH = 2.2
#: In which formats plots are written: for pages, and for papers.
FORMATS = ("svg", "pdf")
#: Texts stay texts, names are no formulas, and the same figures give the same file.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "smsr",
    "pdf.fonttype": 42,
    "text.parse_math": False,
}
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}}
MARKERS = "osD^vP*Xph<>"
#: Costs that lie further apart than this are drawn on a logarithmic axis.
LINEAR_SPAN = 20.0

#: A network's cost for a set; None where it is not known.
CostOf = Callable[[NetworkResult, str], float | None]
#: Inches of the plot of times against densities.
DENSITY_SIZE = (8.0, 5.0)


def plots(comparison: Comparison) -> dict[str, bytes]:
    """Return the plots that the figures allow, in `FORMATS`, by file name.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    with matplotlib.rc_context(STYLE):
        figures = _figures(comparison)
        files = {
            f"{name}.{kind}": _file(figure, kind)
            for name, figure in figures.items()
            for kind in FORMATS
        }
        for figure in figures.values():
            pyplot.close(figure)
    return files


def _figures(comparison: Comparison) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for place in comparison.images():
        density = draw_density(list(comparison.on(*place)))
        drawn |= {} if density is None else {"density": density}
    if comparison.quality_sets:
        drawn["quality_macs"] = draw_quality(
            comparison,
            lambda network, _: network.macs and network.macs / 1e9,
            "multiply-adds for 1280×720 (G)",
        )
    if comparison.quality_sets and comparison.timed:
        drawn["quality_time"] = draw_quality(
            comparison, lambda network, name: network.seconds(name), "mean time of an image (s)"
        )
        drawn["time_macs"] = draw_times(comparison)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _file(figure: Any, kind: str) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format=kind, metadata=UNDATED[kind])
    return stream.getvalue()


def draw_quality(comparison: Comparison, cost_of: CostOf, title: str) -> Any:
    """Draw PSNR against a cost, one panel for each set, with the frontier; None if all is unknown.

    The networks' names stand at their points.

    Args:
        comparison: What was measured.
        cost_of: The cost of a network on a set.
        title: Of the cost.
    """
    panels = {
        name: [
            (network, cost, quality)
            for network in comparison.networks
            if (cost := cost_of(network, name))
            and (quality := network.psnr_y(name)) is not None
            and math.isfinite(quality)
        ]
        for name in comparison.quality_sets
    }
    panels = {name: points for name, points in panels.items() if points}
    if not panels:
        return None
    styles = _styles(comparison.networks)
    figure, axes = _panels(len(panels))
    for ax, (name, points) in zip(axes, panels.items(), strict=True):
        best = frontier([(cost, quality) for _, cost, quality in points])
        # Steps: between two networks the cheaper one is the best that can be had.
        ax.step(*zip(*best, strict=True), where="post", color="grey", linestyle="--", zorder=1)
        for label, (style, labels) in _series(comparison.networks, styles).items():
            drawn = sorted((c, q) for network, c, q in points if network.label in labels)
            if drawn:
                ax.plot(*zip(*drawn, strict=True), label=label, **style)
        ax.set(title=f"{name}, x{comparison.scale}", xlabel=title, ylabel="PSNR on Y (dB)")
        _scale_costs(ax, [cost for _, cost, _ in points])
        ax.grid(alpha=0.3)
        ax.margins(y=0.12)
    figure.draw_without_rendering()  # so that the layout is known, and stays
    figure.set_layout_engine("none")
    for ax, points in zip(axes, panels.values(), strict=True):
        last = {_dialled(network.label): (cost, quality) for network, cost, quality in points}
        named = [(cost, quality, name) for name, (cost, quality) in last.items()]
        label_points(ax, named, [(cost, quality) for _, cost, quality in points])
    return figure


def draw_times(comparison: Comparison) -> Any:
    """Draw each image's time against its multiply-adds, both logarithmic.

    The legend tells how both are correlated (Pearson's r, of the figures, not their logarithms).
    """
    styles, points = _styles(comparison.networks), _times_and_macs(comparison.networks)
    if not points:
        return None
    figure, axes = _panels(1, width=1.6, beside=LEGEND_WIDTH)
    ax = axes[0]
    for network in comparison.networks:
        name = _dialled(network.label)
        if name in points:
            drawn = points.pop(name)
            label = name if (r := _correlation(drawn)) is None else f"{name}, r = {r:.3f}"
            ax.plot(*zip(*drawn, strict=True), label=label, **styles[network.label])
    ax.set(
        title=f"every image, x{comparison.scale}",
        xlabel="multiply-adds, those that the masks keep (G)",
        ylabel="median time of a run (s)",
    )
    _logarithmic(ax.set_xscale, ax.xaxis)
    _logarithmic(ax.set_yscale, ax.yaxis)
    ax.grid(alpha=0.3)
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", frameon=False)
    return figure


def _times_and_macs(networks: Sequence[NetworkResult]) -> dict[str, list[tuple[float, float]]]:
    """Return (multiply-adds in G, seconds) of every image by network, all positions of a dial."""
    found: dict[str, list[tuple[float, float]]] = {}
    for network in networks:
        points = [(m.macs / 1e9, m.median) for m in network.measurements if m.macs and m.median]
        if points:
            found.setdefault(_dialled(network.label), []).extend(points)
    return found


def _correlation(points: Sequence[tuple[float, float]]) -> float | None:
    """Return Pearson's r; None of fewer than three points, or where one side does not change."""
    xs, ys = zip(*points, strict=True)
    if len(points) < 3 or len(set(xs)) == 1 or len(set(ys)) == 1:
        return None
    return correlation(xs, ys)


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the Pareto frontier of (cost, quality), by rising cost.

    A point is on it if no other one costs at most as much and has at least its quality, equal
    points aside.
    """
    best: list[tuple[float, float]] = []
    for cost, quality in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or quality > best[-1][1]:
            best.append((cost, quality))
    return best


def _dialled(label: str) -> str:
    """Return a label without the position of a dial."""
    return label.partition(DIAL_MARK)[0]


def _series(
    networks: Sequence[NetworkResult], styles: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[dict[str, Any], set[str]]]:
    """Return how each network is drawn, a dial as a line, and its labels."""
    found: dict[str, tuple[dict[str, Any], set[str]]] = {}
    for network in networks:
        style, labels = found.setdefault(
            _dialled(network.label), (dict(styles[network.label]), set())
        )
        labels.add(network.label)
        if len(labels) > 1:
            style["linestyle"] = "-"
    return found


def _styles(networks: Sequence[NetworkResult]) -> dict[str, dict[str, Any]]:
    """Return a colour and a marker for each network, the same in all plots and along a dial."""
    names = list(dict.fromkeys(_dialled(network.label) for network in networks))
    numbers = {network.label: names.index(_dialled(network.label)) for network in networks}
    return {
        label: {
            "color": f"C{number % 10}",
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": "none",
            "markersize": 7,
            "alpha": 0.85,
        }
        for label, number in numbers.items()
    }


def _panels(count: int, width: float = 1.0, beside: float = 0.0) -> tuple[Any, list[Any]]:
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    size = (PANEL[0] * columns * width + beside, PANEL[1] * rows)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    every = list(axes.flat)
    for unused in every[count:]:
        unused.set_visible(False)
    return figure, every[:count]


def _scale_costs(ax: Any, costs: Sequence[float]) -> None:
    if max(costs) > LINEAR_SPAN * min(costs):
        _logarithmic(ax.set_xscale, ax.xaxis)
    else:
        ax.set_xlim(0, max(costs) * 1.08)


def _logarithmic(set_scale: Callable[[str], None], axis: Any) -> None:
    """Make an axis logarithmic, with plain numbers at 1, 2 and 5 of each decade."""
    ticker: Any = importlib.import_module("matplotlib.ticker")
    set_scale("log")
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


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
    figure, axes = pyplot.subplots(figsize=DENSITY_SIZE, layout="constrained")
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
