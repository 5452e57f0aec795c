from __future__ import annotations

import re

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


def test_plots_name_each_network_at_its_point_and_are_the_same_each_time():
    pytest.importorskip("matplotlib")
    networks = [
        NetworkResult(BICUBIC, "", BICUBIC, "", "", measurements=[
            Measurement(BICUBIC, "Set5", "baby", (10, 10), Quality(30.0, 0.8, 30.0, 0.8))
        ]),
        *(compared(f"<net $\\{n}$>", 1e9 * n, 31 + n / 10, n / 100) for n in range(1, 6)),
    ]  # fmt: skip
    schedule = {"rounds": 1, "untimed": 0, "timed": 1}
    comparison = Comparison("2026", [], 1, schedule, {}, 2, {"Set5": 1}, networks)
    files = plots(comparison)
    names = ("quality_macs", "quality_time", "time_macs")
    assert list(files) == [f"{name}.{kind}" for name in names for kind in FORMATS]
    text = files["quality_macs.svg"].decode()
    found = re.findall(r">(&lt;net [^<]*)</text>", text)
    assert sorted(found) == [f"&lt;net $\\{n}$&gt;" for n in range(1, 6)]
    assert "<net" not in text
    assert ">Set5, x2</text>" in text
    assert all(files[f"{name}.pdf"].startswith(b"%PDF") for name in names)
    assert plots(comparison) == files
