from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import tiny_smsr

import smsr_plugin
import smsr_plugin.training  # test modules import BasicSR
from smsr_plugin.archs.pan_arch import PAN


@pytest.fixture(scope="session")
def smsr_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a small random SMSR whose masks are neither empty nor full."""
    path = tmp_path_factory.mktemp("weights") / "smsr.safetensors"
    smsr_plugin.save(tiny_smsr(num_feat=16), path)
    return path


@pytest.fixture(scope="session")
def pan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weights of PAN with 4 features, 4 in the upsampler and one block."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "pan.pth"
    torch.save(
        {"params": PAN(num_feat=4, num_up_feat=4, num_block=1, upscale=2).state_dict()}, path
    )
    return path


@pytest.fixture(scope="session")
def lq() -> np.ndarray:
    """Return a small random image, (1, 3, H, W) in 0…1."""
    return np.random.default_rng(0).random((1, 3, 18, 24), dtype=np.float32)


@pytest.fixture(scope="session")
def has_kernels() -> bool:
    """Tell whether the native kernels were built."""
    return importlib.util.find_spec("smsr_plugin._kernels") is not None
