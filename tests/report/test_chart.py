from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsr_plugin.report.chart import (
    TICKS,
    Chart,
    _box,
    category_axis,
    log_axis,
    share_axis,
    tick_step,
    value_axis,
)

numbers = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


@given(st.floats(1e-9, 1e9))
def test_steps_of_ticks_are_round_and_few(span):
    step = tick_step(span)
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - digit) for digit in (1, 2, 5)) < 1e-6
    assert TICKS / 3 < span / step < TICKS * 1.01


@given(st.lists(numbers, max_size=9), st.booleans())
def test_axes_hold_all_values_between_round_ticks(values, from_zero):
    axis = value_axis("label", values, from_zero=from_zero)
    tolerance = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - tolerance <= value <= axis.high + tolerance for value in values)
    places = [value for value, _ in axis.ticks]
    assert (places[0], places[-1]) == pytest.approx((axis.low, axis.high))
    assert 2 <= len(places) <= TICKS + 3
    assert len({text for _, text in axis.ticks}) == len(places)
    if from_zero:
        assert axis.low <= 0


def test_texts_of_ticks_have_the_digits_that_they_need():
    axis = value_axis("PSNR", [39.88, 40.1], from_zero=False)
    assert [text for _, text in axis.ticks] == [
        "39.85",
        "39.90",
        "39.95",
        "40.00",
        "40.05",
        "40.10",
    ]
    assert [text for _, text in value_axis("ms", [130.0], from_zero=True).ticks] == [
        "0",
        "50",
        "100",
        "150",
    ]
    assert [text for _, text in share_axis("share").ticks] == [
        "0.0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1.0",
    ]


def test_shapes_lie_where_the_axes_put_them():
    chart = Chart("title", category_axis("block", ["1", "2"]), share_axis("share"))
    left, top, right, bottom = chart.frame
    assert (chart.px(-0.6), chart.px(1.6)) == pytest.approx((left, right))
    assert (chart.py(0), chart.py(1)) == pytest.approx((bottom, top))
    chart.bar((-0.6, 0.5), (0, 0.5), "style", "tip")
    middle = (left + right) / 2, (top + bottom) / 2
    expected = f"M{left:.1f} {bottom:.1f}H{middle[0]:.1f}V{middle[1]:.1f}H{left:.1f}Z"
    assert chart.shapes == [(expected, "style", "tip")]
    chart.line([(-0.6, 1), (1.6, 0)], "line")
    assert chart.shapes[1].path == f"M{left:.1f} {top:.1f}L{right:.1f} {bottom:.1f}"
    chart.dot(0.5, 0.5, "dot", radius=2)
    assert chart.shapes[2].path.startswith(f"M{middle[0] - 2:.1f} {middle[1]:.1f}a2 2 ")
    chart.text(0.5, 0.5, "here", dx=3, dy=-4)
    assert chart.texts == [pytest.approx((middle[0] + 3, middle[1] - 4, "here", "middle"))]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12))
def test_free_texts_cover_no_other_and_stay_on_the_chart(points):
    chart = Chart("points", share_axis("x"), share_axis("y"))
    for number, point in enumerate(points):
        chart.free_text(*point, f"−{number}")
    boxes = [_box(text) for text in chart.texts]
    assert all(box.left >= 0 and box.right <= chart.size[0] and box.top >= 0 for box in boxes)
    assert not any(box.meets(other) for box, other in combinations(boxes, 2))
    assert bool(boxes) is bool(points)


def test_the_same_point_twice_has_its_texts_beside_each_other():
    chart = Chart("points", share_axis("x"), share_axis("y"))
    for text in ("3", "4"):
        chart.free_text(0.5, 0.5, text)
    assert [(text.text, text.anchor) for text in chart.texts] == [("3", "start"), ("4", "end")]


@given(st.floats(1e-9, 1e6), st.floats(2, 1e6))
def test_logarithmic_axes_hold_all_values_and_say_what_their_ticks_are(low, ratio):
    axis = log_axis("label", [low, low * ratio])
    assert axis.low <= math.log10(low) + 1e-6
    assert axis.high >= math.log10(low * ratio) - 1e-6
    assert len(axis.ticks) >= 2
    assert all(float(text) == pytest.approx(10**place, rel=1e-4) for place, text in axis.ticks)
