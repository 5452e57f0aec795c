from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from smsr_plugin.report.charts import (
    density_chart,
    detail_chart,
    kept_curve,
    time_chart,
    time_curve,
    zeros_chart,
)
from smsr_plugin.report.measurements import ZeroShares
from smsr_plugin.report.speed import Curve, PartTimes, SpeedPoint
from smsr_plugin.timing import Summary


def bars(chart):
    """Return (centre, lower, upper) in data coordinates, and the style, of each bar."""
    left, top, right, bottom = chart.frame
    found = []
    for shape in chart.shapes:
        match = re.fullmatch(r"M(.+) (.+)H(.+)V(.+)H.+Z", shape.path)
        if match:
            x0, y0, x1, y1 = map(float, match.groups())
            x = chart.x.low + ((x0 + x1) / 2 - left) / (right - left) * (chart.x.high - chart.x.low)
            low, high = (
                chart.y.low + (bottom - y) / (bottom - top) * (chart.y.high - chart.y.low)
                for y in (y0, y1)
            )
            found.append((x, low, high, shape.style))
    return found


def test_densities_are_the_heights_of_bars():
    chart = density_chart([0.25, 1.0, 0.0])
    heights = [high for _, _, high, _ in bars(chart)]
    assert heights == pytest.approx([0.25, 1.0, 0.0], abs=5e-3)
    assert [text.text for text in chart.texts] == ["0.25", "1.00", "0.00"]


def test_every_part_of_the_time_is_drawn_on_top_of_the_others():
    block = {"masks": 0.010, "sparse layers": 0.040, "fuse": 0.020}
    slow = {name: 2 * seconds for name, seconds in block.items()}
    others = {"head": 0.05, "collect": 0.03, "tail": 0.02, "bicubic": 0.01}
    chart = time_chart(PartTimes((block, slow), others, Summary(0.32, 0.32, 0.32)))
    drawn = bars(chart)
    assert [text for _, text in chart.x.ticks] == ["before", "1", "2", "after"]
    by_place = {place: [bar for bar in drawn if round(bar[0]) == place] for place in range(4)}
    assert [len(by_place[place]) for place in range(4)] == [1, 3, 3, 3]
    tops = [max(bar[2] for bar in by_place[place]) for place in range(4)]
    assert tops == pytest.approx([50, 70, 140, 60], abs=0.5)
    for stack in by_place.values():
        for below, above in pairwise(stack):
            assert above[1] == pytest.approx(below[2])
    assert {bar[3] for bar in by_place[1]} == {"part-0", "part-1", "part-2"}
    assert {bar[3] for bar in by_place[3]} == {"part-rest"}
    assert "block 2, fuse: 40.0 ms" in {shape.tip for shape in chart.shapes}


def test_groups_are_bars_and_the_error_a_line(measurements):
    detail = measurements.figures.detail
    chart = detail_chart(detail)
    heights = [high for _, _, high, _ in bars(chart)]
    step = (chart.y.high - chart.y.low) / 150
    assert heights == pytest.approx(detail.group_density, abs=step)
    assert [shape.style for shape in chart.shapes].count("missed line") == 1
    assert [shape.style for shape in chart.shapes].count("missed") == 10


def test_histograms_are_steps():
    shares = ZeroShares(np.array([0.1, 0.12, 0.5, 0.99]), np.full(4, np.nan))
    chart = zeros_chart(shares)
    (steps,) = (shape for shape in chart.shapes if shape.style == "important step")
    heights = {point.split()[1] for point in steps.path[1:].split("L")}
    assert f"{chart.py(0.5):.1f}" in heights
    assert f"{chart.py(0.25):.1f}" in heights
    (empty,) = (shape for shape in chart.shapes if shape.style == "unimportant step")
    assert {point.split()[1] for point in empty.path[1:].split("L")} == {f"{chart.py(0):.1f}"}


def point(threshold, kept, seconds, psnr, spread=0.0):
    times = Summary(seconds, seconds * (1 - spread / 2), seconds * (1 + spread / 2))
    return SpeedPoint(threshold, kept, kept, times, psnr)


POINTS = (
    point(-math.inf, 1.0, 2.0, 40.0),
    point(-1.0, 0.6, 1.2, 39.9),
    point(0.0, 0.5, 1.0, math.inf),
    point(1.0, 0.4, 0.9, 39.5, spread=0.2),
    point(2.0, 0.3, 0.8, 39.0),
)


def test_the_curve_has_a_point_for_each_finite_threshold_quality_and_steady_time(measurements):
    figures = replace(measurements.figures, threshold=2.0, curve=Curve(POINTS, 3))
    chart = time_curve(figures, "PSNR")
    assert [text.text for text in chart.texts] == ["−1", "2"]
    assert [shape.style for shape in chart.shapes] == ["curve line", "important", "chosen"]
    assert chart.texts[1].x == pytest.approx(chart.px(800) + 8)
    assert chart.texts[1].y == pytest.approx(chart.py(39.0) + 4)
    assert [text.text for text in kept_curve(figures, "PSNR").texts] == ["−1", "1", "2"]
    assert figures.curve.unsteady == 1
    assert figures.curve.spread == pytest.approx(0.2)
    unknown = replace(figures, curve=Curve(tuple(replace(p, psnr=None) for p in POINTS), 3))
    assert time_curve(unknown, "PSNR") is None
    wild = tuple(replace(p, times=Summary(1.0, 0.5, 1.5)) for p in POINTS)
    assert time_curve(replace(figures, curve=Curve(wild, 3)), "PSNR") is None
