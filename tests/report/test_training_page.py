from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from io import BytesIO

import pytest
from PIL import Image

from smsr_plugin.report.history import Drawn, History, Point
from smsr_plugin.report.training_page import MEANS, MOST_STEPS, render_training, training_charts

HOSTILE = "<script>alert(1)</script>"


def png(value: int) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (16, 8), (value, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def history() -> History:
    steps = range(100, 10_001, 100)
    rising = [Point(i, 30 + math.log10(i)) for i in steps]
    return History(
        HOSTILE,
        "the log",
        datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        20_000,
        {
            "losses/l_pix": [Point(i, 1 / i) for i in steps],
            "losses/l_off": [Point(i, 0.0) for i in steps],
            "lr": [Point(i, 1e-3) for i in steps],
            "iterations_per_second": [Point(i, 2.0) for i in steps],
            "density": [Point(i, 0.3) for i in steps],
            "spa_density": [Point(i, 0.35) for i in steps],
            "metrics/Set5/psnr": [*rising, Point(10_100, 31.0)],
            "metrics/Set5/spa_density": [Point(5000, 0.4)],
            **{f"validation/Set5/spa_density/block_{k}": [Point(5000, k / 10)] for k in (1, 2)},
        },
        {"Set5, baby": [Drawn(i, png(i // 100)) for i in steps]},
    )


def points(shape):
    return [tuple(map(float, pair.split())) for pair in shape.path[1:].split("L")]


def test_every_series_has_its_chart(history):
    found = {chart.y.label: (chart, caption) for chart, caption in training_charts(history)}
    assert list(found) == ["loss", "PSNR, dB", "density", "learning rate", "iterations per second"]
    assert len(training_charts(history)) == 6  # of blocks, and in the mean
    chart, _ = found["loss"]
    assert [shape.style for shape in chart.shapes] == ["series-0 faint line", "series-0 line"]
    raw, means = map(points, chart.shapes)
    assert len(raw) == 100
    assert len(means) <= MEANS
    assert raw[0][1] == pytest.approx(chart.py(-2), abs=0.1)  # of 1 / 100, on a logarithmic axis
    assert raw[-1] == pytest.approx((chart.px(10), chart.py(-4)), abs=0.1)
    assert chart.x.label == "thousand iterations"
    mean = math.log10((1 / 100 + 1 / 200 + 1 / 300) / 3)
    assert means[0] == pytest.approx((chart.px(0.2), chart.py(mean)), abs=0.1)


def test_the_best_of_a_metric_is_marked_and_said(history):
    ((chart, caption),) = (c for c in training_charts(history) if c.chart.y.label == "PSNR, dB")
    assert caption == "PSNR on each validation set. Best: 34 after 10,000 iterations."
    mark = chart.shapes[-1]
    assert mark.tip == "Set5: 34 at 10,000"
    assert f"{chart.py(34.0):.1f}" in mark.path


def test_the_page_tells_how_far_it_is_and_loads_nothing(history):
    text = render_training(history)
    shown = re.sub(r"<[^>]+>|\s+", " ", text.partition("<main>")[2])
    shown = re.sub(" +", " ", shown)
    assert "iterations 10,100 of 20,000" in shown
    assert "PSNR 34.00 dB the best on Set5, after 10,000; last 31.00 dB" in shown
    assert "density 0.35 asked for 0.30" in shown
    assert "iterations per second 2 1 h 22 min to go" in shown
    assert "last written 2026-01-02 03:04 UTC" in text
    assert '<progress max="20000" value="10100"' in text
    assert HOSTILE not in text
    assert not re.search(r'(src|href)="(?!data:image/|https://arxiv|#)', text)
    assert "default-src 'none'" in text


def test_masks_over_time_are_thinned_and_begin_with_the_last(history):
    text = render_training(history)
    film = text.partition("data-film>")[2].partition("</figure>")[0]
    assert film.count("<img") == MOST_STEPS
    assert film.count(" hidden>") == MOST_STEPS - 1
    iterations = re.search(r'data-iterations="([^"]*)"', film)[1].split()
    assert (iterations[0], iterations[-1]) == ("100", "10000")
    assert "<output>10000</output>" in film


def test_a_training_that_has_just_begun_has_a_page(history):
    begun = {tag: points[:1] for tag, points in history.series.items()}
    history.series, history.total = begun, None
    history.masks = {"Set5, baby": history.masks["Set5, baby"][:1]}
    text = render_training(history)
    assert "<progress" not in text
    assert "nan" not in text.partition("<main>")[2].partition("<script>")[0]
    assert 'type="range"' not in text
