"""Charts as plain shapes, drawn by the template `chart.svg.j2`; colours come from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WIDTH, HEIGHT = 400.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 42.0, 12.0, 26.0, 40.0
#: About how many ticks an axis has.
TICKS = 5
#: A logarithmic axis of so many decades has a tick at each, one of fewer also at 2 and 5.
MOST_DECADES = 2.5
#: Where a text may stand beside a point, in the order in which places are tried: how far away, in
#: pixels, and its anchor.
BESIDE = (
    *((8.0, 4.0, "start"), (-8.0, 4.0, "end"), (0.0, -9.0, "middle"), (0.0, 17.0, "middle")),
    *((7.0, -7.0, "start"), (7.0, 14.0, "start"), (-7.0, -7.0, "end"), (-7.0, 14.0, "end")),
)
#: Width of a character and height of a line, in pixels, on a phone, where texts are larger.
CHARACTER, LINE = 7.5, 13.0


class Axis(NamedTuple):
    """An axis from `low` to `high`, with (value, text) at each tick."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


class Shape(NamedTuple):
    """A path, its CSS class, and the text that a pointer brings up."""

    path: str
    style: str
    tip: str


class Text(NamedTuple):
    """A text at a place of the chart; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def _box(text: Text) -> _Box:
    """Return about the room that a text takes."""
    width = len(text.text) * CHARACTER
    left = text.x - {"start": 0.0, "middle": width / 2, "end": width}[text.anchor]
    return _Box(left, text.y - LINE * 0.8, left + width, text.y + LINE * 0.2)


class Key(NamedTuple):
    """An entry of the legend."""

    style: str
    text: str


@dataclass
class Chart:
    """A chart that is filled shape by shape, in data coordinates.

    Attributes:
        title: What it shows, for those who do not see it as well.
        x, y: The axes.
        legend: What its styles mean.
        shapes, texts: What was drawn, in pixels.
    """

    title: str
    x: Axis
    y: Axis
    legend: Sequence[Key] = ()
    shapes: list[Shape] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)

    size = (WIDTH, HEIGHT)
    frame = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)

    def px(self, value: float) -> float:
        """Return where a value of x lies, in pixels from the left."""
        left, _, right, _ = self.frame
        return left + (value - self.x.low) / (self.x.high - self.x.low) * (right - left)

    def py(self, value: float) -> float:
        """Return where a value of y lies, in pixels from the top."""
        _, top, _, bottom = self.frame
        return bottom - (value - self.y.low) / (self.y.high - self.y.low) * (bottom - top)

    def bar(
        self, x: tuple[float, float], y: tuple[float, float], style: str, tip: str = ""
    ) -> None:
        """Draw a rectangle."""
        (x0, x1), (y0, y1) = map(self.px, x), map(self.py, y)
        self.shapes.append(Shape(f"M{x0:.1f} {y0:.1f}H{x1:.1f}V{y1:.1f}H{x0:.1f}Z", style, tip))

    def line(self, points: Sequence[tuple[float, float]], style: str, tip: str = "") -> None:
        """Draw a line through points."""
        path = "L".join(f"{self.px(x):.1f} {self.py(y):.1f}" for x, y in points)
        self.shapes.append(Shape(f"M{path}", style, tip))

    def dot(self, x: float, y: float, style: str, tip: str = "", radius: float = 3.5) -> None:
        """Draw a disc; its radius is in pixels."""
        arc = f"a{radius} {radius} 0 1 0"
        path = (
            f"M{self.px(x) - radius:.1f} {self.py(y):.1f}{arc} {2 * radius} 0{arc} {-2 * radius} 0Z"
        )
        self.shapes.append(Shape(path, style, tip))

    def text(
        self, x: float, y: float, text: str, anchor: str = "middle", dx: float = 0, dy: float = 0
    ) -> None:
        """Write a text; `dx` and `dy` move it, in pixels."""
        self.texts.append(Text(self.px(x) + dx, self.py(y) + dy, text, anchor))

    def free_text(self, x: float, y: float, text: str) -> None:
        """Write a text beside a point, where it covers no other text and stays on the chart.

        It is left out where there is no such place.
        """
        for dx, dy, anchor in BESIDE:
            placed = Text(self.px(x) + dx, self.py(y) + dy, text, anchor)
            box = _box(placed)
            on_chart = box.left >= 0 and box.right <= self.size[0] and box.top >= 0
            if on_chart and not any(box.meets(_box(other)) for other in self.texts):
                self.texts.append(placed)
                return


def value_axis(label: str, values: Sequence[float], *, from_zero: bool) -> Axis:
    """Return an axis with round ticks that holds all values.

    Args:
        label: The quantity and its unit.
        values: Finite numbers; without any, or where all are equal, the axis has some width still.
        from_zero: Begin at 0; else at the tick below the least value.
    """
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    low = min(0.0, low) if from_zero else low
    if high <= low:
        high = low + max(abs(low), 1.0) * 1e-2
    step = tick_step(high - low)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple((i * step, f"{i * step:.{digits}f}") for i in range(first, last + 1))
    return Axis(label, first * step, last * step, ticks)


def tick_step(span: float) -> float:
    """Return the step among 1, 2 and 5 times a power of ten that gives about `TICKS` ticks."""
    raw = span / TICKS
    power = 10 ** math.floor(math.log10(raw))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= raw * 0.999)


def share_axis(label: str) -> Axis:
    """Return an axis from 0 to 1."""
    return Axis(label, 0.0, 1.0, tuple((i / 5, f"{i / 5:.1f}") for i in range(6)))


def category_axis(label: str, names: Sequence[str]) -> Axis:
    """Return an axis with a place at 0, 1, 2, … for each name."""
    return Axis(label, -0.6, len(names) - 0.4, tuple(enumerate(names)))


def log_axis(label: str, values: Sequence[float]) -> Axis:
    """Return a logarithmic axis, of log10 of the values, with ticks at 1, 2 and 5 of each decade.

    Args:
        label: The quantity and its unit.
        values: Positive numbers, at least two that differ.
    """
    low, high = math.log10(min(values)), math.log10(max(values))
    steps = (1, 2, 5) if high - low < MOST_DECADES else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    every = [(power + math.log10(step), step * 10.0**power) for power in powers for step in steps]
    first = max(place for place, _ in every if place <= low + 1e-9)
    last = min(place for place, _ in every if place >= high - 1e-9)
    ticks = tuple((p, _plain(value)) for p, value in every if first <= p <= last)
    return Axis(label, first, last, ticks)


def _plain(value: float) -> str:
    return f"{value:g}" if value >= 1e-3 else f"{value:.0e}".replace("e-0", "e-")
