"""What the tests of commands share."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from benchmarks import PAN_OPTIONS, InProcess
from networks import tiny_smsr
from PIL import Image

import smsr_plugin
from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.checkpoints.masked_networks import save as save_checkpoint


@pytest.fixture
def net(tmp_path, monkeypatch):
    """Return a small network; its weights are those of SMSR_WEIGHTS."""
    net = tiny_smsr(3).float()
    save_checkpoint(net, tmp_path / "net.safetensors")
    monkeypatch.setenv("SMSR_WEIGHTS", str(tmp_path / "net.safetensors"))
    monkeypatch.chdir(tmp_path)
    return net


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr("smsr_plugin.compare.measure.EngineProcess", InProcess)


@pytest.fixture(scope="session")
def has_kernels():
    """Tell whether the native kernels were built."""
    return importlib.util.find_spec("smsr_plugin._kernels") is not None


@pytest.fixture
def files(tmp_path):
    """Return weights/{smsr.safetensors,pan.pth,rlfn.pth} and Tiny/HR/{a,b}.png."""
    torch.manual_seed(0)
    (tmp_path / "weights").mkdir()
    smsr_plugin.save(tiny_smsr(num_feat=16), tmp_path / "weights/smsr.safetensors")
    torch.save(PAN(**PAN_OPTIONS, upscale=2).state_dict(), tmp_path / "weights/pan.pth")
    torch.save(RLFN(num_feat=4, upscale=2).state_dict(), tmp_path / "weights/rlfn.pth")
    (tmp_path / "Tiny/HR").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("a", (32, 40)), ("b", (31, 37))):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"Tiny/HR/{name}.png")
    return tmp_path


@pytest.fixture
def arguments(files):
    options = ",".join(f"{key}={value}" for key, value in PAN_OPTIONS.items())
    return [
        *(files / "weights/smsr.safetensors", f"PAN={files / 'weights/pan.pth'},{options}"),
        *("--images", files / "Tiny/HR", "--threads", 1, "--rounds", 2, "--out", files / "out"),
    ]


@pytest.fixture
def noise(files):
    """Return an lq image of 24×18."""
    pixels = np.random.default_rng(0).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(files / "noise.png")
    return files / "noise.png"
