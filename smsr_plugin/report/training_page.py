"""The page on a training: how far it is, its curves, its masks over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from smsr_plugin.images.errors import guarded
from smsr_plugin.report import rendering
from smsr_plugin.report.embedded import Embedded, drawing
from smsr_plugin.report.history import Drawn, History
from smsr_plugin.report.training_charts import training_charts

#: Of how many images the page shows masks, and after how many iterations at most.
MOST_IMAGES, MOST_STEPS = 2, 12


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
