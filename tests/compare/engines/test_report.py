from __future__ import annotations

import importlib.util
import json

import pytest

from smsr_plugin.compare.engines.comparison import comparisons
from smsr_plugin.compare.engines.plot import draw
from smsr_plugin.compare.engines.report import (
    breakdown_table,
    comparison_table,
    engine_table,
    floor_text,
    markdown,
    sweep_table,
    table,
)
from smsr_plugin.compare.engines.results import CaseResult, EngineResult, Results, Sweep, SweepPoint
from smsr_plugin.compare.floor import MATMUL_SIDE
from smsr_plugin.machine import caches, describe


def engine(name, network, seconds, precision="fp32", **figures):
    return EngineResult(name, network, "lib", precision, 2, {}, seconds=seconds, **figures)


@pytest.fixture
def case():
    return CaseResult(
        "rocket",
        (640, 360),
        [
            engine("pytorch", "twin", [4.0, 3.0, 5.0], peak_mib=800.0, max_abs=1.2e-6, psnr=120.0),
            engine("ncnn", "twin", [2.0], peak_mib=600.0),
            engine("openvino-bf16", "twin", [1.0], "bf16"),
            engine("masked", "masked", [8.0], spa_densities=[0.25, 0.75], macs=2e9),
            engine("ours", "sparse", [0.5], spa_densities=[0.25, 0.75], macs=2e9, peak_mib=200.0),
            engine("ours-bf16", "sparse", [0.4], "bf16", breakdown={"head": [0.1, 0.3, 0.2]}),
            engine("ours-1-thread", "sparse", [0.95]),
            engine("ours-avx2", "sparse", [0.8]),
            engine("matmul", "matmul", [2.0, 1.0]),
            EngineResult(
                "onnxruntime", "twin", "lib", "fp32", 2, {}, failure="No module named 'onnxruntime'"
            ),
        ],
    )


@pytest.fixture
def sweep():
    points = [SweepPoint("ours", d, 1e9 * (1 + d), [0.1 + d]) for d in (0.0, 0.5, 1.0)]
    return Sweep("rocket", (640, 360), points, {"ncnn": [2.0, 1.0, 3.0]}, 1e11, {"ours-bf16": "no"})


@pytest.fixture
def results(case, sweep):
    schedule = {"rounds": 7, "timed": 1, "untimed": 1, "warm_up": 2, "pause": 0.1, "seed": 0}
    return Results(
        "2021-06-19T12:00:00+00:00", ["benchmark.py"], 2, schedule, describe(), [case], sweep
    )


def test_a_table_is_aligned():
    assert table(["a", "b"], [["long", "1"], ["x", "1234"]]).splitlines() == [
        "| a    |    b |",
        "| ---- | ---: |",
        "| long |    1 |",
        "| x    | 1234 |",
    ]


def test_ratios_are_taken_between_the_right_engines(case):
    found = {c.question: (c.ratio, c.baseline, c.engine) for c in comparisons(case)}
    assert found == {
        "ours fp32 against PyTorch, dense twin fp32": (8, "pytorch", "ours"),
        "ours fp32 against the fastest dense twin in fp32": (4, "ncnn", "ours"),
        "our best against the fastest dense twin of any precision": (
            pytest.approx(2.5),
            "openvino-bf16",
            "ours-bf16",
        ),
        "ours fp32 against masked dense in PyTorch": (16, "masked", "ours"),
        "ours fp32 on all threads against one": (1.9, "ours-1-thread", "ours"),
        "ours fp32 with AVX2 only against all instruction sets": (0.625, "ours", "ours-avx2"),
        "peak memory of ours fp32 over PyTorch's, dense twin": (0.25, "pytorch", "ours"),
    }


def test_ratios_without_ours_are_left_out(case):
    case.engines = [e for e in case.engines if e.network == "twin"]
    assert comparisons(case) == []
    other = CaseResult("empty", (1, 1), [])
    assert comparison_table([other]).count("\n") == 1


def test_the_table_of_engines(case):
    lines = engine_table(case).splitlines()
    cells = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")] for line in lines}
    assert cells["pytorch"][2:-1] == [
        *("dense twin", "lib", "fp32", "2", "4.00", "3.50–4.50", "1.00×"),
        *("800", "–", "–", "1.2e-06", "120.0"),
    ]
    assert cells["ours"][6:12] == ["0.500", "0.500–0.500", "8.00×", "200", "–", "0.500"]
    assert "matmul" not in cells
    assert "onnxruntime" not in cells


def test_the_report_says_what_is_missing_and_draws_the_floor(case, results):
    text = markdown(results, plot="density.png")
    assert "- onnxruntime: not available: No module named 'onnxruntime'" in text
    assert "- ours-bf16: not available: no" in text
    assert "![time against density](density.png)" in text
    assert "8.00× (pytorch → ours)" in text
    seconds = 2 * 2e9 / (2 * MATMUL_SIDE**3 / 1.0)
    assert f"{seconds:.3f} s for 2.0 G multiply-adds kept" in floor_text(case)


def test_the_breakdown_is_in_milliseconds(case):
    assert breakdown_table(case).splitlines()[2:] == [
        "| head     |     200.0 |",
        "| sum      |     200.0 |",
    ]
    assert breakdown_table(CaseResult("empty", (1, 1), [])) is None


def test_the_table_of_densities(sweep):
    lines = sweep_table(sweep).splitlines()
    assert [c.strip() for c in lines[3].split("|")[1:-1]] == ["ours", "0.500", "0.600", "1.5"]
    assert [c.strip() for c in lines[-1].split("|")[1:-1]] == ["ncnn", "–", "2.00", "–"]


def test_json_keeps_everything(results):
    text = results.to_json()
    assert Results.from_json(text) == results
    assert json.loads(text)["cases"][0]["engines"][0]["seconds"] == [4.0, 3.0, 5.0]
    for bad in ("{}", "[]", "nonsense", text.replace('"seconds"', '"minutes"')):
        with pytest.raises(ValueError, match=r"results of a benchmark|Expecting value"):
            Results.from_json(bad)


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_plot_shows_curves_lines_and_floor(sweep, tmp_path, suffix):
    path = tmp_path / f"density{suffix}"
    draw(sweep, path)
    content = path.read_bytes()
    if suffix == ".png":
        assert content.startswith(b"\x89PNG")
        return
    for label in ("ours", "ncnn, dense", "floor: kept operations at fp32 peak", "floor / 4"):
        assert f"<!-- {label}".encode() in content


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
