"""From the command line to the files, with a small random network."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from smsr_plugin.compare.engines import command
from smsr_plugin.compare.engines.results import CaseResult, Results
from smsr_plugin.compare.engines.spec import catalogue, select


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


def _arguments(sources, image, out, *engines):
    return [
        *("--weights", str(sources.weights), "--images", str(image), "--threads", "1"),
        *("--rounds", "2", "--out", str(out), "--engines", *engines),
    ]


def test_pytorch_and_ours(sources, image, tmp_path, capsys, has_kernels):
    out, name = tmp_path / "results", "ours" if has_kernels else "reference"
    assert command.main(_arguments(sources, image, out, "pytorch", name, "matmul")) == 0
    results = Results.from_json((out / "results.json").read_text())
    (case,) = results.cases
    assert case.size == (24, 18)
    pytorch, ours, matmul = (case.engine(name) for name in ("pytorch", name, "matmul"))
    assert len(pytorch.seconds) == len(ours.seconds) == len(matmul.seconds) == 2
    assert pytorch.max_abs < 1e-5
    assert ours.max_abs < 1e-5
    assert 0 < ours.density < 1
    assert ours.macs > 0
    if ours.peak_mib is not None:
        assert 0 < ours.running_peak_mib <= ours.peak_mib < 1024
    printed = capsys.readouterr().out
    assert (out / "results.md").read_text() + "\n" == printed
    assert has_kernels == ("ours fp32 against PyTorch, dense twin fp32" in printed)
    assert has_kernels == ("| part, ms" in printed)
    assert str(tmp_path) not in (out / "results.json").read_text()


@pytest.mark.slow
def test_time_against_density(sources, image, tmp_path, has_kernels):
    if not has_kernels:
        pytest.skip("the sweep is of the native kernels, which were not built")
    arguments = _arguments(sources, image, tmp_path, "ours", "ncnn", "matmul")
    assert command.main([*arguments, "--density"]) == 0
    sweep = Results.from_json((tmp_path / "results.json").read_text()).sweep
    densities = [point.density for point in sweep.points]
    assert densities == pytest.approx([step / 10 for step in range(11)], abs=0.03)
    macs = [point.macs for point in sweep.points]
    assert macs == sorted(macs)
    assert sweep.peak_flops > 1e9
    assert set(sweep.lines) | set(sweep.failures) == {"ncnn"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--weights": "absent.pth"}, "absent.pth: cannot be read"),
        ({"--images": "absent.png"}, "absent.png: neither an image file"),
        ({"--engines": "tensorrt"}, "no engine is called 'tensorrt'; known are pytorch"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(
    sources, image, tmp_path, capsys, change, message
):
    arguments = _arguments(sources, image, tmp_path / "out", "ours")
    for option, value in change.items():
        arguments[arguments.index(option) + 1] = value
    assert command.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_rlfn_that_is_none_is_refused_at_once(sources, image, tmp_path, capsys):
    arguments = _arguments(sources, image, tmp_path, "ours")
    assert command.main([*arguments, "--rlfn", str(sources.weights)]) == 2
    assert "not a published RLFN" in capsys.readouterr().err


def test_what_was_measured_before_an_interruption_is_kept(
    sources, image, tmp_path, monkeypatch, capsys
):
    calls = []

    def measure(case, specs, bench):
        calls.append(case.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return CaseResult(case.name, case.size, [])

    monkeypatch.setattr(command, "measure_case", measure)
    arguments = _arguments(sources, image, tmp_path, "ours")
    arguments.insert(arguments.index("--threads"), str(image))
    assert command.main(arguments) == 130
    results = Results.from_json((tmp_path / "results.json").read_text())
    assert [case.name for case in results.cases] == ["noise"]
    assert "## noise" in capsys.readouterr().out


def test_help_fits_a_screen(capsys):
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    assert capsys.readouterr().out.count("\n") <= 40


def test_engines_are_selected_by_pattern():
    specs = catalogue(threads=2, with_rlfn=True)
    names = [spec.name for spec in specs]
    assert len(set(names)) == len(names)
    assert [spec.name for spec in select(specs, ["*ncnn*", "masked"])] == [
        *("ncnn", "ncnn-bf16", "masked", "rlfn-ncnn", "rlfn-ncnn-bf16")
    ]
    assert select(specs, []) == specs
    assert {spec.threads for spec in specs} == {1, 2}
    one = [spec.name for spec in catalogue(threads=1, with_rlfn=False)]
    assert "ours-1-thread" not in one
    assert not any(name.startswith("rlfn") for name in one)
