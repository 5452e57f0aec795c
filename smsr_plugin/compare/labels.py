"""Texts beside points, of which none covers another text or point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

#: Directions in which a text may lie, in the order in which they are tried, in eighths of a turn.
DIRECTIONS = (0, 1, 7, 4, 3, 5, 2, 6)
#: From a point to its text, in pixels: at first, and how much farther each time.
GAP, STEP = 7.0, 6.0
MOST_STEPS = 40
#: Room of a marker, half its side in pixels.
MARKER = 5.0
#: From this distance on a line leads from the text to its point.
LEADER = 15.0
SIZE = 8  #: Of the texts, points.


class Box(NamedTuple):
    """A rectangle, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> Box:
        """Return a rectangle by its centre."""
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def meets(self, other: Box) -> bool:
        """Return whether the two have room in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def within(self, other: Box) -> bool:
        """Return whether this one lies in another."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )


class Place(NamedTuple):
    """Where the middle of a text lies, and how far its edge is from the point."""

    x: float
    y: float
    distance: float


def places(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    others: Sequence[tuple[float, float]] = (),
) -> list[Place | None]:
    """Find a place for the text of each point, near it and inside the frame.

    Args:
        points: In pixels.
        sizes: Width and height of each text.
        frame: Where texts may be.
        others: Points without texts, not to be covered either.

    Returns:
        For each point the place of its text; None where there is no room left.
    """
    markers = [Box.around(*point, 2 * MARKER, 2 * MARKER) for point in (*points, *others)]
    taken: list[Box] = []
    found: list[Place | None] = []
    for point, size in zip(points, sizes, strict=True):
        place = next(
            (
                each
                for each in _candidates(point, size)
                if (box := Box.around(each.x, each.y, *size)).within(frame)
                and not any(box.meets(other) for other in (*markers, *taken))
            ),
            None,
        )
        if place is not None:
            taken.append(Box.around(place.x, place.y, *size))
        found.append(place)
    return found


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> Iterator[Place]:
    for step in range(MOST_STEPS):
        distance = GAP + step * STEP
        for direction in DIRECTIONS:
            angle = direction * math.pi / 4
            x = point[0] + math.cos(angle) * (distance + size[0] / 2)
            y = point[1] + math.sin(angle) * (distance + size[1] / 2)
            yield Place(x, y, distance)


def label_points(
    ax: Any, points: Sequence[tuple[float, float, str]], others: Sequence[tuple[float, float]] = ()
) -> None:
    """Write a text beside each point (x, y, text) of a plot of matplotlib, covering no others.

    The layout of the figure must be final. A text without room is left out.
    """
    renderer = ax.figure.canvas.get_renderer()
    pixels = _pixels(ax, [point[:2] for point in points])
    sizes = []
    for _, _, text in points:
        written = ax.text(0, 0, text, fontsize=SIZE)
        extent = written.get_window_extent(renderer)
        sizes.append((extent.width, extent.height))
        written.remove()
    frame = Box(*ax.get_window_extent(renderer).extents)
    scale = 72 / ax.figure.dpi
    found = places(pixels, sizes, frame, _pixels(ax, others))
    for point, pixel, place in zip(points, pixels, found, strict=True):
        if place is None:
            continue
        lines = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        ax.annotate(
            point[2],
            point[:2],
            ((place.x - pixel[0]) * scale, (place.y - pixel[1]) * scale),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=SIZE,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"},
            arrowprops=lines if place.distance > LEADER else None,
        )


def _pixels(ax: Any, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    placed = (ax.transData.transform(point) for point in points)
    return [(float(x), float(y)) for x, y in placed]
