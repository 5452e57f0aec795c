from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsr_plugin.compare.plots import FORMATS, frontier, plots
from smsr_plugin.compare.results import BICUBIC, Comparison, Measurement, NetworkResult
from smsr_plugin.images.quality import Quality

VALUES = st.integers(-5, 5).map(float)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=12))
def test_exactly_the_points_that_none_dominates(points):
    def dominated(point):
        return any(
            other != point and other[0] <= point[0] and other[1] >= point[1] for other in points
        )

    assert frontier(points) == sorted({point for point in points if not dominated(point)})


def compared(label: str, macs: float, psnr: float, seconds: float) -> NetworkResult:
    quality = Quality(psnr, 0.9, psnr, 0.9)
    measured = Measurement(
        label, "Set5", "baby", (10, 10), quality, [seconds], macs=macs, spa_densities=[0.5]
    )
    return NetworkResult(label, "", label, "PyTorch", "fp32", macs=macs, measurements=[measured])


def comparison_of(networks: list[NetworkResult]) -> Comparison:
    quality = Quality(30.0, 0.8, 30.0, 0.8)
    measured = [Measurement(BICUBIC, "Set5", "baby", (10, 10), quality)]
    bicubic = NetworkResult(BICUBIC, "", BICUBIC, "", "", measurements=measured)
    schedule = {"rounds": 1, "untimed": 0, "timed": 1}
    return Comparison("2026", [], 1, schedule, {}, 2, {"Set5": 1}, [bicubic, *networks])


def test_plots_name_each_network_at_its_point_and_are_the_same_each_time():
    pytest.importorskip("matplotlib")
    networks = [compared(f"<net $\\{n}$>", 1e9 * n, 31 + n / 10, n / 100) for n in range(1, 6)]
    files = plots(comparison_of(networks))
    names = ("quality_macs", "quality_time", "time_macs")
    assert list(files) == [f"{name}.{kind}" for name in names for kind in FORMATS]
    text = files["quality_macs.svg"].decode()
    found = re.findall(r">(&lt;net [^<]*)</text>", text)
    assert sorted(found) == [f"&lt;net $\\{n}$&gt;" for n in range(1, 6)]
    assert "<net" not in text
    assert ">Set5, x2</text>" in text
    assert all(files[f"{name}.pdf"].startswith(b"%PDF") for name in names)
    assert plots(comparison_of(networks)) == files


def test_the_legend_tells_how_time_follows_what_is_computed():
    pytest.importorskip("matplotlib")
    few, many = compared("few", 1e9, 30, 0.1), compared("many", 1e9, 30, 0.1)
    macs, seconds = (1e9, 2e9, 3e9, 5e9), (0.2, 0.1, 0.4, 0.5)
    many.measurements = [
        replace(many.measurements[0], image=f"{n}", macs=macs[n], seconds=[seconds[n]])
        for n in range(4)
    ]
    text = plots(comparison_of([few, many]))["time_macs.svg"].decode()
    r = np.corrcoef(macs, seconds)[0, 1]
    assert f">many, r = {r:.3f}</text>" in text
    assert ">few</text>" in text
