from __future__ import annotations

import re

import cv2
import pytest
import torch
from basicsr.archs.srresnet_arch import MSRResNet
from basicsr.metrics import calculate_psnr
from commands import run_test
from option_files import evaluation_options, write_options


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


def test_an_empty_folder_is_an_error(tmp_path, pairs, weights, capsys):
    (tmp_path / "empty").mkdir()
    empty = {f"datasets:test:dataroot_{r}": str(tmp_path / "empty") for r in ("gt", "lq")}
    options = evaluation_options(pairs, weights, empty)
    option_file = write_options(tmp_path / "tiny.yml", options)
    assert run_test(["-opt", str(option_file), "--root", str(tmp_path)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("smsr test: error: data set pairs: there are no images in ")


def test_weights_must_be_given(tmp_path, pairs, weights, capsys):
    options = evaluation_options(pairs, weights, {"path:pretrain_network_g": None})
    option_file = write_options(tmp_path / "tiny.yml", options)
    assert run_test(["-opt", str(option_file), "--root", str(tmp_path)]) == 2
    assert "path.pretrain_network_g" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
