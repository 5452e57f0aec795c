from __future__ import annotations

import re

import cv2
import pytest
import torch
from basicsr.archs.srresnet_arch import MSRResNet
from basicsr.metrics import calculate_psnr
from commands import run_test
from option_files import REMOVED, evaluation_options, write_options


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    net = MSRResNet(num_feat=4, num_block=1, upscale=2)
    torch.save({"params": net.state_dict()}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def test_images_and_metrics(tmp_path, pairs, weights, capsys):
    option_file = write_options(tmp_path / "tiny.yml", evaluation_options(pairs, weights))
    assert run_test(["-opt", str(option_file), "--root", str(tmp_path)]) == 0
    results = tmp_path / "results" / "tiny"
    saved = sorted((results / "visualization" / "pairs").iterdir())
    assert len(saved) == 11
    psnr = 0.0
    for file in saved:
        gt = cv2.imread(str(pairs / "gt" / f"{file.stem.split('_')[0]}.png"))
        psnr += calculate_psnr(cv2.imread(str(file)), gt, crop_border=2) / len(saved)
    (log,) = results.glob("test_tiny_*.log")
    (logged,) = re.findall(r"# psnr: ([\d.]+)", log.read_text())
    assert float(logged) == pytest.approx(psnr, abs=1e-4)
    assert "smsr test: error" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "dataroot_gt: {empty} holds no files"),
        (
            {
                "datasets:test:type": "SingleImageDataset",
                "datasets:test:dataroot_gt": REMOVED,
                "val:metrics": REMOVED,
            },
            "there are no images in {empty}; check the dataroot options",
        ),
    ],
)
def test_an_empty_folder_is_an_error(tmp_path, pairs, weights, capsys, changes, message):
    (tmp_path / "empty").mkdir()
    empty = {f"datasets:test:dataroot_{r}": str(tmp_path / "empty") for r in ("gt", "lq")}
    options = evaluation_options(pairs, weights, empty | changes)
    option_file = write_options(tmp_path / "tiny.yml", options)
    assert run_test(["-opt", str(option_file), "--root", str(tmp_path)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    told = message.format(empty=tmp_path / "empty")
    assert last == f"smsr test: error: data set pairs: {told}"


def test_weights_must_be_given(tmp_path, pairs, weights, capsys):
    options = evaluation_options(pairs, weights, {"path:pretrain_network_g": None})
    option_file = write_options(tmp_path / "tiny.yml", options)
    assert run_test(["-opt", str(option_file), "--root", str(tmp_path)]) == 2
    assert "path.pretrain_network_g" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.fixture
def two_sets(tmp_path, pairs, weights):
    """Return the options of a test of a set that is there and of two that are not."""
    options = evaluation_options(pairs, weights)
    datasets = options["datasets"]
    for name, folder in (("Set14", "Set14"), ("B100", "B100")):
        root = str(tmp_path / folder)
        datasets[f"test_{name}"] = {**datasets["test"], "name": name, "dataroot_gt": root}
    return options


def test_sets_that_are_not_there_are_named_together(tmp_path, two_sets, capsys):
    option_file = write_options(tmp_path / "tiny.yml", two_sets)
    assert run_test(["-opt", str(option_file), "--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"smsr test: error: test sets are not there: Set14 ({tmp_path}/Set14), B100 "
        f"({tmp_path}/B100); --skip-missing tests without: pairs\n"
    )
    assert not (tmp_path / "results").exists()


def test_sets_that_are_not_there_can_be_skipped(tmp_path, two_sets, capsys):
    option_file = write_options(tmp_path / "tiny.yml", two_sets)
    arguments = ["-opt", str(option_file), "--root", str(tmp_path), "--skip-missing"]
    assert run_test(arguments) == 0
    assert "Skipped, because they are not there: Set14 (" in capsys.readouterr().out
    (log,) = (tmp_path / "results" / "tiny").glob("test_tiny_*.log")
    assert re.findall(r"Testing (\w+)", log.read_text()) == ["pairs"]
    del two_sets["datasets"]["test"]
    write_options(option_file, two_sets)
    assert run_test(arguments) == 2
    assert "expected an existing path" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network_g:num_feat": 6}, "Error(s) in loading state_dict for MSRResNet: size mismatch"),
        ({"network_g:num_block": 2}, "Missing key(s) in state_dict: "),
    ],
)
def test_weights_that_do_not_fit_are_one_line(tmp_path, pairs, weights, capsys, changes, reason):
    option_file = write_options(tmp_path / "tiny.yml", evaluation_options(pairs, weights, changes))
    assert run_test(["-opt", str(option_file), "--root", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"smsr test: error: {weights} does not fit MSRResNet: ")
    assert reason in error


def test_an_entry_that_is_not_there_is_one_line(tmp_path, pairs, weights, capsys):
    torch.save({"other": torch.load(weights)["params"]}, weights)
    changes = {"path:param_key_g": "parms"}
    option_file = write_options(tmp_path / "tiny.yml", evaluation_options(pairs, weights, changes))
    assert run_test(["-opt", str(option_file), "--root", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"smsr test: error: {weights} does not fit MSRResNet: no entry parms"
