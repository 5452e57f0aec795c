"""The page on a training: how far it is, its curves, its masks over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from smsr_plugin.images.errors import guarded
from smsr_plugin.report import rendering
from smsr_plugin.report.chart import Axis, Chart, Key, log_axis, share_axis, value_axis
from smsr_plugin.report.history import Drawn, History, Point
from smsr_plugin.report.rendering import Embedded, drawing

#: Of how many images the page shows masks, and after how many iterations at most.
MOST_IMAGES, MOST_STEPS = 2, 12

#: Points of a line at most, and of the line through their means.
MOST_POINTS, MEANS = 400, 40
#: Values that lie further apart than this are drawn on a logarithmic axis.
LINEAR_SPAN = 20.0
#: Styles by which the page tells series apart; no more are drawn in one chart.
STYLES = tuple(f"series-{number}" for number in range(8))
#: From this many iterations on they are counted in thousands.
MANY, THOUSAND = 5000, 1000

Series = Mapping[str, Sequence[Point]]


@dataclass(frozen=True)
class MaskFilm:
    """The masks of an image over the training.

    Attributes:
        name: Of validation set and image.
        iterations: After which the pictures were drawn.
        pictures: One for each.
    """

    name: str
    iterations: list[int]
    pictures: list[Embedded]


def render_training(history: History) -> str:
    """Return the page as HTML; see `rendering.render`."""
    films = [_film(*item) for item in list(history.masks.items())[:MOST_IMAGES]]
    return rendering.render(
        "training.html.j2",
        history=history,
        written=history.written.strftime("%Y-%m-%d %H:%M UTC"),
        facts=_facts(history),
        charts=training_charts(history),
        films=films,
    )


def _facts(history: History) -> list[tuple[str, str, str]]:
    """Return name, value and a remark of what is to be seen at once."""
    now, total = history.iteration, history.total
    done = f"of {total:,}" if total else ""
    facts = [("iterations", f"{now:,}", done)]
    for name, points in list(history.between("metrics/", "/psnr").items())[:1]:
        best = max(points, key=lambda point: point.value)
        remark = f"the best on {name}, after {best.iteration:,}; last {points[-1].value:.2f} dB"
        facts.append(("PSNR", f"{best.value:.2f} dB", remark))
    if density := history.series.get("spa_density"):
        asked = history.series.get("density")
        remark = f"asked for {asked[-1].value:.2f}" if asked else "of the last batch written"
        facts.append(("density", f"{density[-1].value:.2f}", remark))
    if rate := history.series.get("lr"):
        facts.append(("learning rate", f"{rate[-1].value:.2g}", "now"))
    if speeds := history.series.get("iterations_per_second"):
        facts.append(_speed([point.value for point in speeds], (total or now) - now))
    return facts


def _speed(speeds: Sequence[float], left: int) -> tuple[str, str, str]:
    recent = sum(speeds[-10:]) / len(speeds[-10:])
    remark = f"{_duration(left / recent)} to go" if left > 0 else "finished"
    return "iterations per second", f"{recent:.3g}", remark


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _film(name: str, drawn: Sequence[Drawn]) -> MaskFilm:
    last = len(drawn) - 1
    steps = min(MOST_STEPS, len(drawn))
    chosen = [drawn[round(n * last / max(1, steps - 1))] for n in range(steps)]
    pictures = []
    for iteration, png in chosen:
        with guarded("a picture of TensorBoard cannot be read"):
            image = Image.open(BytesIO(png), formats=["PNG"]).convert("RGB")
        pictures.append(drawing(image, f"{name}, masks after {iteration} iterations"))
    return MaskFilm(name, [iteration for iteration, _ in chosen], pictures)


class Captioned(NamedTuple):
    """A chart with what it shows."""

    chart: Chart
    caption: str


def training_charts(history: History) -> list[Captioned]:
    """Return the charts that a history allows."""
    losses = {
        name: points
        for name, points in history.between("losses/").items()
        if any(point.value for point in points)  # a loss of weight 0 is written as 0
    }
    blocks = next(
        filter(None, (history.between(f"validation/{s}/spa_density/block_") for s in history.sets)),
        {},
    )
    speed = "iterations_per_second"
    found = [
        _noisy("loss", losses, "Losses as they were written, and their running means."),
        _curves(
            "PSNR, dB", history.between("metrics/", "/psnr"), "PSNR on each validation set.", max
        ),
        _curves("SSIM", history.between("metrics/", "/ssim"), "SSIM on each validation set.", max),
        _shares(
            {f"block {name}": points for name, points in blocks.items()},
            "Density of each block on a validation set: the share of the pixels that it computes.",
        ),
        _shares(_densities(history), "Density, mean of the blocks: asked for, and as it was."),
        _curves("learning rate", history.between("lr"), "Learning rate."),
        _curves("λ", history.between("lambda"), "Weight of the sparsity loss."),
        _curves("τ", history.between("tau"), "Temperature of the soft masks."),
        _noisy("norm", history.between("grad_norm"), "Norm of the gradient."),
        _noisy("iterations per second", history.between(speed), "Speed."),
    ]
    return [chart for chart in found if chart is not None]


def _densities(history: History) -> Series:
    named = {"density": "asked for", "spa_density": "of a batch"}
    series = {text: history.series[tag] for tag, text in named.items() if tag in history.series}
    validated = history.between("metrics/", "/spa_density")
    return series | {f"on {name}": points for name, points in validated.items()}


def _curves(
    label: str,
    series: Series,
    caption: str,
    best: Callable[[Sequence[float]], float] | None = None,
) -> Captioned | None:
    """Draw each series point by point; say and mark where the best value of each is."""
    if not series:
        return None
    plot = _Plot(label, series, _scale_of(label, series))
    for (name, points), style in zip(series.items(), STYLES, strict=False):
        plot.line(_thinned(points, MOST_POINTS), style)
        if best is not None:
            top = best([point.value for point in points])
            where = next(point.iteration for point in points if point.value == top)
            plot.mark(where, top, style, f"{name}: {top:.4g} at {where:,}")
            of_set = f" on {name}" if len(series) > 1 else ""
            caption += f" Best{of_set}: {top:.4g} after {where:,} iterations."
    return Captioned(plot.chart, caption)


def _noisy(label: str, series: Series, caption: str) -> Captioned | None:
    """Draw each series faintly, and through it the means over parts of the training."""
    if not series:
        return None
    plot = _Plot(label, series, _scale_of(label, series))
    for points, style in zip(series.values(), STYLES, strict=False):
        plot.line(_thinned(points, MOST_POINTS), f"{style} faint")
        plot.line(_thinned(points, MEANS), style)
    return Captioned(plot.chart, caption)


def _shares(series: Series, caption: str) -> Captioned | None:
    if not series:
        return None
    plot = _Plot("density", series, Scale(share_axis("density"), lambda value: value))
    for points, style in zip(series.values(), STYLES, strict=False):
        plot.line(_thinned(points, MEANS), style)
    return Captioned(plot.chart, caption)


class Scale(NamedTuple):
    """An axis, and where on it a value lies."""

    axis: Axis
    place: Callable[[float], float]


def _scale_of(label: str, series: Series) -> Scale:
    drawn = [v for points in series.values() for _, v in _thinned(points, MOST_POINTS)]
    if min(drawn) > 0 and max(drawn) > LINEAR_SPAN * min(drawn):
        return Scale(log_axis(label, drawn), math.log10)
    return Scale(value_axis(label, drawn, from_zero=False), lambda value: value)


class _Plot:
    """A chart of values over the iterations."""

    def __init__(self, label: str, series: Series, y: Scale) -> None:
        last = max(points[-1].iteration for points in series.values())
        self._unit = THOUSAND if last >= MANY else 1
        name = "iterations" if self._unit == 1 else "thousand iterations"
        x = value_axis(name, [last / self._unit], from_zero=True)
        keys = [
            Key(f"{style} line", name)
            for name, style in zip(series, STYLES, strict=False)
            if name and len(series) > 1
        ]
        self._place = y.place
        self.chart = Chart(f"{label} over the training", x, y.axis, keys)

    def line(self, points: Sequence[tuple[float, float]], style: str) -> None:
        placed = [(i / self._unit, self._place(value)) for i, value in points]
        if len(placed) == 1:  # of which there is no line
            self.chart.dot(*placed[0], style)
        else:
            self.chart.line(placed, f"{style} line")

    def mark(self, iteration: int, value: float, style: str, tip: str) -> None:
        self.chart.dot(iteration / self._unit, self._place(value), style, tip, 4.5)


def _thinned(points: Sequence[Point], most: int) -> list[tuple[float, float]]:
    """Return at most so many points: the means of equally many neighbours."""
    size = math.ceil(len(points) / most)
    parts = (points[start : start + size] for start in range(0, len(points), size))
    return [
        (sum(i for i, _ in part) / len(part), sum(v for _, v in part) / len(part)) for part in parts
    ]
