"""What the tests of commands share."""

from __future__ import annotations

import pytest
from networks import tiny_smsr

from smsr_plugin.checkpoints.masked_networks import save as save_checkpoint


@pytest.fixture
def net(tmp_path, monkeypatch):
    """Return a small network; its weights are those of SMSR_WEIGHTS."""
    net = tiny_smsr(3).float()
    save_checkpoint(net, tmp_path / "net.safetensors")
    monkeypatch.setenv("SMSR_WEIGHTS", str(tmp_path / "net.safetensors"))
    monkeypatch.chdir(tmp_path)
    return net
