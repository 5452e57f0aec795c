"""What `smsr benchmark` refuses before anything is measured."""

from __future__ import annotations

import pytest
from benchmarks import main

from smsr_plugin.compare.perceptual import METRICS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--images", "nowhere"], "nowhere is not a folder"),
        (["EDSRR"], "no network is called 'EDSRR'"),
        (["--scale", "3"], "is a network for x2, and the others are for x3; --scale chooses"),
        (["--engines", "ncnn"], "--engines selects from a preset"),
        (
            ["--preset", "engines", "--engines", "tensorrt"],
            "no engine is called 'tensorrt'; known are pytorch, onnxruntime",
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(
    files, arguments, capsys, changes, message
):
    options = changes if changes[0].startswith("-") else []
    names = [] if options else changes
    assert main(*names, *arguments, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (files / "out").exists()


def test_help_fits_a_screen(capsys):
    with pytest.raises(SystemExit, match="0"):
        main("--help")
    assert capsys.readouterr().out.count("\n") <= 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a NETWORK and --images, or a --preset"),
        (("PAN",), "give a NETWORK and --images, or a --preset"),
        (("--preset", "engines"), "the preset engines needs a NETWORK"),
        (("PAN", "--preset", "frontier", "--ntire"), "--ntire is a table of its own"),
        (("PAN", "--preset", "frontier", "--metric", "lpips"), "without the preset frontier"),
        (("PAN", "--images", "rocket", "--metric", "lpips"), "compares with HR images"),
        (("PAN", "--preset", "frontier"), "the preset frontier needs --images"),
        (("PAN", "--preset", "training"), "the preset training brings its own networks"),
        (("--preset", "training", "--images", "rocket"), "the preset training makes its own"),
    ],
)
def test_what_is_missing_is_said(tmp_path, capsys, arguments, message, monkeypatch):
    monkeypatch.setattr("smsr_plugin.compare.run.check_metrics", lambda names: None)
    assert main(*arguments, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_metrics_without_their_weights_are_refused_before_anything_is_done(
    files, arguments, monkeypatch, capsys
):
    pytest.importorskip("torchmetrics")
    monkeypatch.setenv("TORCH_HOME", str(files / "nothing"))
    assert main(*arguments, "--metric", "dists") == 2
    error = capsys.readouterr().err
    assert error.startswith("smsr benchmark: error: dists needs torchvision's vgg16")
    assert error.count("\n") == 1
    assert not (files / "out").exists()


def test_damaged_weights_of_a_metric_are_one_line(files, arguments, monkeypatch, capsys):
    pytest.importorskip("torchmetrics")
    monkeypatch.setenv("TORCH_HOME", str(files / "torch"))
    weights = METRICS["lpips"].file()
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"not weights\n")
    assert main(*arguments, "--metric", "lpips") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"smsr benchmark: error: {weights}: cannot be read as weights")
    assert error.count("\n") == 1


def test_results_that_are_none_are_refused(tmp_path, capsys):
    (tmp_path / "results.json").write_text("[]")
    assert main("--redraw", "--out", tmp_path) == 2
    assert "not the results of a comparison" in capsys.readouterr().err
    assert main("--redraw", "--out", tmp_path / "absent") == 2
