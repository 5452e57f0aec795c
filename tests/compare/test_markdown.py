"""Figures, tables, CSV and plots of made-up measurements whose means are known."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from xml.etree import ElementTree

import pytest

from smsr_plugin.compare.markdown import doubts, markdown, quality_table, run_table
from smsr_plugin.compare.outputs import write
from smsr_plugin.compare.plots import plots
from smsr_plugin.compare.results import Comparison, Measurement, NetworkResult
from smsr_plugin.images.quality import Quality

MACHINE = {
    "cpu": "Test CPU", "cores": 2, "cores_usable": 2, "isa": ["avx2"], "caches": {"L2": "1M"},
    "memory_gib": 4, "load_average": [0.5, 0.4, 0.3], "os": "Linux", "python": "3.11",
    "packages": {"torch": "2", "ncnn": None},
}  # fmt: skip


def measurement(network, set_name, image, psnr, seconds=(), **more):
    quality = None if psnr is None else Quality(psnr, 0.9, psnr - 2, 0.8)
    return Measurement(network, set_name, image, (64, 32), quality, list(seconds), **more)


@pytest.fixture
def comparison():
    bicubic = NetworkResult("Bicubic", "", "Bicubic", "MATLAB's imresize, 8 bits", "")
    bicubic.measurements = [
        measurement("Bicubic", "A", "x", 30.0),
        measurement("Bicubic", "A", "y", 31.0),
        measurement("Bicubic", "B", "z", math.inf),
    ]
    smsr = NetworkResult(
        "SMSR sparse", "smsr.pt", "sparse", "to_sparse, native", "fp32", 2, params=985_123
    )
    smsr.macs, smsr.dense_macs, smsr.activations = 111.84e9, 223.8e9, 284.4e6
    smsr.measurements = [
        measurement("SMSR sparse", "A", "x", 38.0, (0.3, 0.1, 0.2), peak_mib=50.0, macs=1e9,
                    spa_densities=[0.2, 0.4], loaded="amx"),
        measurement("SMSR sparse", "A", "y", 39.0, (0.6,), peak_mib=70.4, macs=2e9,
                    spa_densities=[0.6, 0.8], loaded="amx"),
        measurement("SMSR sparse", "B", "z", 40.0, (1.5,), macs=3e9, spa_densities=[0.4, 0.6]),
    ]  # fmt: skip
    fresh = NetworkResult(
        "CARN", "CARN", "CARN", "PyTorch", "fp32", 2, {}, 964_163, 222.8e9, 518e6, 222.8e9
    )
    fresh.measurements = [measurement("CARN", "A", "x", None, (2.0,), peak_mib=9.0, macs=5e9)]
    fresh.failures = {"A/y": "out of luck", "B/z": "out of luck"}
    return Comparison(
        "2025-01-01T00:00:00+00:00", ["smsr", "benchmark"], 2,
        {"rounds": 3, "untimed": 1, "timed": 1}, MACHINE, 2, {"A": 2, "B": 1},
        [bicubic, smsr, fresh],
    )  # fmt: skip


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_means(comparison):
    smsr, fresh = comparison.networks[1:]
    assert (smsr.psnr_y("A"), smsr.psnr_y("B")) == (38.5, 40)
    assert smsr.ssim_y("A") == pytest.approx(0.9)
    assert smsr.seconds("A") == pytest.approx((0.2 + 0.6) / 2)  # of medians
    assert smsr.block_densities == pytest.approx([0.4, 0.6])
    assert (smsr.density, smsr.peak_mib, smsr.loaded) == (pytest.approx(0.5), 70.4, "amx")
    # Figures of some of the images could not be compared with those of all.
    assert (fresh.seconds("A"), fresh.seconds("B"), fresh.psnr_y("A")) == (None, None, None)


def test_tables(comparison):
    assert cells(quality_table(comparison))[2:] == [
        ["Bicubic", "–", "–", "30.50/0.9000", "∞/0.9000"],
        ["SMSR sparse", "985K", "111.8G (223.8G)", "38.50/0.9000", "40.00/0.9000"],
        ["CARN", "964K", "222.8G", "–", "–"],
    ]
    rows = cells(run_table(comparison))
    assert rows[0][3:] == ["activations", "density", "A, s", "B, s", "peak MiB"]
    assert rows[2][1:] == ["MATLAB's imresize, 8 bits", *"––––––"]
    assert rows[3][1:] == [
        *("to_sparse, native, amx", "fp32", "284M", "0.500", "0.400", "1.50", "70")
    ]
    assert rows[4][3:] == ["518M", "–", "–", "–", "9"]
    comparison.schedule["rounds"] = 0
    assert cells(run_table(comparison))[0][3:] == ["activations", "density"]


def test_report_says_what_is_missing_and_under_which_conditions(comparison):
    text = markdown(comparison, ["quality_macs.svg", "quality_macs.pdf"])
    assert "- CARN: A/y, B/z: out of luck" in text
    assert "images: A (2), B (1)" in text
    assert "Test CPU, 2 cores" in text
    assert "](quality_macs.svg)" in text
    assert "quality_macs.pdf" not in text
    assert "quality_time" not in text


def test_what_the_machine_does_not_tell_is_a_dash(comparison):
    comparison.machine = {**MACHINE, "load_average": None, "memory_gib": None}
    text = markdown(comparison)
    assert "memory – GiB" in text
    assert "load average – before" in text


def test_files(comparison, tmp_path):
    assert write(comparison, tmp_path) == ""
    names = {path.name for path in tmp_path.iterdir()}
    drawn = ("quality_macs", "quality_time", "time_macs")
    pictures = {f"{name}.{kind}" for name in drawn for kind in ("svg", "pdf")}
    assert names == {"results.json", "results.md", "networks.csv", "images.csv", *pictures}
    for name in drawn:
        assert ElementTree.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "images.csv").read_text())))
    assert len(rows) == 7
    assert rows[3]["network"] == "SMSR sparse"
    assert (rows[3]["seconds"], rows[3]["first_quartile"], rows[3]["psnr_rgb"]) == (
        *("0.2", "0.15000000000000002", "36.0"),
    )
    assert (rows[6]["psnr_y"], rows[6]["density"]) == ("", "")
    networks = list(csv.DictReader(io.StringIO((tmp_path / "networks.csv").read_text())))
    assert networks[1]["B_psnr_y"] == "40.0"
    assert networks[2]["A_seconds"] == ""
    stored = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert Comparison.from_json(json.dumps(stored)) == comparison


def test_plots_of_what_there_is(comparison):
    comparison.schedule["rounds"] = 0
    assert set(plots(comparison)) == {"quality_macs.svg", "quality_macs.pdf"}
    comparison.networks = comparison.networks[:1]
    assert plots(comparison) == {}


def test_names_are_neither_markdown_nor_formulas(comparison, tmp_path):
    smsr = comparison.networks[1]
    smsr.label = "=HYPERLINK(A1)|`x`<b>"
    comparison.command = ["smsr", "`ls`"]
    smsr.failures = {"A/<i>|": "no | luck"}
    write(comparison, tmp_path)
    text = (tmp_path / "results.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| =HYPERLINK"))
    assert row.count("|") == 6  # five columns
    assert "<" not in text
    assert text.count("`") == 2
    for name in ("networks.csv", "images.csv"):
        rows = list(csv.reader(io.StringIO((tmp_path / name).read_text())))
        assert not any(cell.startswith(("=", "@")) for row in rows for cell in row)


def test_a_network_below_bicubic_is_doubted(comparison):
    comparison.networks[0].measurements[2] = measurement("Bicubic", "B", "z", 32.0)
    assert doubts(comparison) == []
    smsr = comparison.networks[1]
    smsr.measurements = [
        measurement("SMSR sparse", "A", name, 30.0, (0.1,)) for name in ("x", "y")
    ] + smsr.measurements[2:]
    (line,) = doubts(comparison)
    assert line.startswith("SMSR sparse: 30.00 dB on A is below bicubic's 30.50: ")
    assert "img_range=255" in line
    assert line in markdown(comparison)


def test_without_matplotlib_the_rest_is_written(comparison, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install matplotlib" in write(comparison, tmp_path)
    assert "![" not in (tmp_path / "results.md").read_text()
