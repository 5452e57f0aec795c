from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from networks import tiny_smsr

import smsr_plugin
from smsr_plugin.compare.engines.spec import Sources


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Return the checkpoint of a small random SMSR whose masks are neither empty nor full."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    smsr_plugin.save(tiny_smsr(num_feat=16), path)
    return Sources(Path(path))


@pytest.fixture(scope="session")
def lq() -> np.ndarray:
    """Return a small random image, (1, 3, H, W) in 0…1."""
    return np.random.default_rng(0).random((1, 3, 18, 24), dtype=np.float32)


@pytest.fixture(scope="session")
def has_kernels() -> bool:
    """Tell whether the native kernels were built."""
    return importlib.util.find_spec("smsr_plugin._kernels") is not None
