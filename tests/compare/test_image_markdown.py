"""Tables, ratios and the plot of made-up measurements on single images."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest

from smsr_plugin.compare.image_markdown import (
    breakdown_table,
    floor_text,
    image_table,
    ratio_table,
    ratios,
    sweep_table,
)
from smsr_plugin.compare.markdown import markdown, printed
from smsr_plugin.compare.plots import draw_density, plots
from smsr_plugin.compare.results import Comparison, Difference, Measurement, NetworkResult
from smsr_plugin.compare.tables import table
from smsr_plugin.engines.spec import MATMUL_SIDE
from smsr_plugin.machine import caches, describe

PLACE = ("crops", "rocket")
SIZE = (640, 360)
DENSITIES = [0.25, 0.75]


def network(label, title, seconds, precision="fp32", threads=2, **figures):
    result = NetworkResult(label, "", title, "lib", precision, threads)
    result.measurements = [Measurement(label, *PLACE, SIZE, seconds=seconds, **figures)]
    return result


def compare(networks):
    schedule = {"rounds": 7, "timed": 1, "untimed": 1, "warm_up": 2, "pause": 0.1, "seed": 0}
    date, command = "2021-06-19T12:00:00+00:00", ["smsr", "benchmark"]
    return Comparison(date, command, 2, schedule, describe(), 2, {"crops": 1}, networks)


@pytest.fixture
def comparison():
    kept = {"spa_densities": DENSITIES, "macs": 2e9}
    absent = NetworkResult("onnxruntime", "", "dense twin", "lib", "fp32", 2)
    absent.failures = {"crops/rocket": "No module named 'onnxruntime'"}
    return compare([
        network("pytorch", "dense twin", [4.0, 3.0, 5.0], peak_mib=800.0,
                difference=Difference(1.2e-6, 120.0), macs=9e9),
        network("ncnn", "dense twin", [2.0], peak_mib=600.0),
        network("openvino-bf16", "dense twin", [1.0], "bf16"),
        network("rlfn-ncnn", "RLFN-S", [1.5]),
        network("masked", "masked dense", [8.0], **kept),
        network("ours", "sparse", [0.5], peak_mib=200.0, **kept),
        network("ours-bf16", "sparse", [0.4], "bf16", breakdown={"head": [0.1, 0.3, 0.2]}),
        network("ours-1-thread", "sparse", [0.95], threads=1),
        network("ours-avx2", "sparse", [0.8]),
        network("matmul", "matrix product", [2.0, 1.0]),
        absent,
    ])  # fmt: skip


@pytest.fixture
def sweep():
    ours = NetworkResult("ours", "", "sparse", "lib", "fp32", 2)
    ours.measurements = [
        Measurement("ours", *PLACE, SIZE, seconds=[0.1 + d], spa_densities=[d, d],
                    macs=1e9 * (1 + d), wanted_density=d)
        for d in (0.0, 0.5, 1.0)
    ]  # fmt: skip
    matmul = network("matmul", "matrix product", [2 * MATMUL_SIDE**3 / 1e11])
    return compare([network("ncnn", "dense twin", [2.0, 1.0, 3.0], macs=3e9), ours, matmul])


def rows(comparison):
    return list(comparison.on(*PLACE))


def cells(text):
    lines = [line.strip("|").split("|") for line in text.splitlines()]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_a_table_is_aligned():
    assert table(["a", "b"], [["long", "1"], ["x", "1234"]]).splitlines() == [
        "| a    |    b |",
        "| ---- | ---: |",
        "| long |    1 |",
        "| x    | 1234 |",
    ]


def test_ratios_are_taken_between_the_right_engines(comparison):
    found = {r.question: (r.ratio, r.baseline, r.engine) for r in ratios(comparison, *PLACE)}
    assert found == {
        "ours fp32 against PyTorch, dense twin fp32": (8, "pytorch", "ours"),
        "ours fp32 against the fastest dense twin in fp32": (4, "ncnn", "ours"),
        "our best against the fastest dense twin of any precision": (
            pytest.approx(2.5),
            "openvino-bf16",
            "ours-bf16",
        ),
        "ours fp32 against the fastest RLFN-S in fp32": (3, "rlfn-ncnn", "ours"),
        "our best against the fastest RLFN-S of any precision": (
            pytest.approx(3.75),
            "rlfn-ncnn",
            "ours-bf16",
        ),
        "ours fp32 against masked dense in PyTorch": (16, "masked", "ours"),
        "ours fp32 on all threads against one": (1.9, "ours-1-thread", "ours"),
        "ours fp32 with AVX2 only against all instruction sets": (0.625, "ours", "ours-avx2"),
        "peak memory of ours fp32 over PyTorch's, dense twin": (0.25, "pytorch", "ours"),
    }
    assert cells(ratio_table(comparison, [PLACE]))["ours fp32 on all threads against one"] == [
        "1.90× (ours-1-thread → ours)"
    ]


def test_our_best_may_be_in_int8(comparison):
    question = "our best against the fastest dense twin of any precision"
    comparison.networks.append(network("ours-int8", "sparse", [0.25], "int8"))
    (answer,) = (each for each in ratios(comparison, *PLACE) if each.question == question)
    assert (answer.ratio, answer.engine) == (pytest.approx(4), "ours-int8")


def test_ratios_without_ours_are_left_out(comparison):
    comparison.networks = [n for n in comparison.networks if n.title == "dense twin"]
    assert ratios(comparison, *PLACE) == []
    assert "## Ratios" not in markdown(comparison)


def test_the_table_of_engines(comparison):
    found = cells(image_table(rows(comparison)))
    assert found["label"] == [
        *("network", "run by", "precision", "threads", "seconds", "quartiles", "speed"),
        *("peak MiB", "memory", "density", "max error", "PSNR dB"),
    ]
    assert found["pytorch"] == [
        *("dense twin", "lib", "fp32", "2", "4.00", "3.50–4.50", "1.00×"),
        *("800", "100%", "–", "1.2e-06", "120.0"),
    ]
    assert found["ours"][4:10] == ["0.500", "0.500–0.500", "8.00×", "200", "25%", "0.500"]
    assert "matmul" not in found
    assert "onnxruntime" not in found


def test_the_report_says_what_is_missing_and_draws_the_floor(comparison):
    text = markdown(comparison, ["density.svg"])
    assert "- onnxruntime: crops/rocket: No module named 'onnxruntime'" in text
    assert "](density.svg)" in text
    assert "8.00× (pytorch → ours)" in text
    assert "## rocket, lq 640×360" in text
    assert "params" not in text  # there is no ground truth, so no table in the papers' form
    seconds = 2 * 2e9 / (2 * MATMUL_SIDE**3 / 1.0)
    assert f"{seconds:.3f} s for 2.0 G multiply-adds kept" in floor_text(rows(comparison))
    assert "rocket" in printed(comparison)


def test_the_breakdown_is_in_milliseconds(comparison):
    assert breakdown_table(rows(comparison)).splitlines()[2:] == [
        "| head     |     200.0 |",
        "| sum      |     200.0 |",
    ]
    assert breakdown_table([]) is None


def test_the_table_of_densities(sweep):
    lines = sweep_table(rows(sweep)).splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert found == [
        ["ours", "0.000", "0.100", "1.0"],
        ["ours", "0.500", "0.600", "1.5"],
        ["ours", "1.000", "1.10", "2.0"],
        ["ncnn", "–", "2.00", "–"],
    ]
    assert "## Time against density, rocket" in markdown(sweep)


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
def test_the_plot_shows_curves_lines_and_floor(sweep, comparison):
    content = plots(sweep)["density.svg"].decode()
    for label in ("ours", "ncnn, dense", "floor: kept operations at fp32 peak", "floor / 4"):
        assert re.search(f">{label}.*</text>", content)
    assert draw_density(rows(comparison)) is None


def test_json_keeps_everything(comparison, sweep):
    for results in (comparison, sweep):
        text = results.to_json()
        assert Comparison.from_json(text) == results
    for bad in ("{}", "[]", "nonsense", text.replace('"seconds"', '"minutes"')):
        with pytest.raises(ValueError, match=r"results of a comparison|Expecting value"):
            Comparison.from_json(bad)


def test_the_machine_is_described_for_json():
    machine = describe()
    assert json.loads(json.dumps(machine)) == machine
    assert machine["cpu"]
    assert machine["packages"]["torch"]


def test_caches_are_read_from_sysfs(tmp_path):
    for index, (level, kind, size) in enumerate(
        [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "2048K")]
    ):
        (tmp_path / f"index{index}").mkdir()
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (tmp_path / f"index{index}" / name).write_text(f"{value}\n")
    assert caches(tmp_path) == {"L1d": "48K", "L1i": "32K", "L2": "2048K"}
    assert caches(tmp_path / "absent") == {}
