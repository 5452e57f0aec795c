"""Files with every pixel computed give in their own library what open masks give."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from masked_networks import tiny_masked_rlfn
from networks import tiny_smsr

from smsr_plugin.checkpoints.masked_networks import save
from smsr_plugin.cli.main import main
from smsr_plugin.engines import export as module
from smsr_plugin.engines.base import Input, Job, import_engine
from smsr_plugin.engines.export import FORMATS, ExportError, every_pixel, export_every_pixel
from smsr_plugin.engines.spec import dense_spec

SMSR = tiny_smsr(2, upscale=2).float()


def run(path, x: np.ndarray) -> np.ndarray:
    spec = dense_spec(FORMATS[path.suffix].library, 1)
    engine = import_engine(spec.module).load(Job(spec, None, path))
    return engine.output(engine.run(engine.prepare(Input(x))))


@pytest.mark.slow
@pytest.mark.parametrize("net", [SMSR, tiny_masked_rlfn()], ids=["SMSR", "MaskedRLFN"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_is_the_network_with_open_masks_at_any_size(tmp_path, net, suffix):
    library = FORMATS[suffix].library
    pytest.importorskip(library)
    pytest.importorskip("pnnx" if library == "ncnn" else "onnxscript")
    net = net.float()
    path = tmp_path / f"net{suffix}"
    assert export_every_pixel(net, path) < 1e-5
    x = torch.rand(1, 3, 19, 41, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = net(x, spa_mask=torch.ones(1, net.config.num_block, 19, 41))
    assert np.abs(run(path, x.numpy()) - expected.numpy()).max() < 1e-5
    beside = FORMATS[suffix].beside
    names = {path.name, path.with_suffix(beside).name if beside else path.name}
    assert {file.name for file in tmp_path.iterdir()} == names


def test_a_file_that_computes_something_else_is_not_put_in_place(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(module, "every_pixel", lambda net: every_pixel(tiny_smsr(9).float()))
    with pytest.raises(ExportError, match="not the same: images differ by up to"):
        export_every_pixel(SMSR, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path, capsys, monkeypatch):
    save(SMSR, tmp_path / "net.safetensors")
    monkeypatch.chdir(tmp_path)
    command = ["export", "net.safetensors"]
    for arguments, message in (
        (["a.pth", "--every-pixel"], "a.pth: must end in .onnx, .xml, .param"),
        (["no/a.xml", "--every-pixel"], "no/a.xml: there is no folder no"),
        (["a.xml", "--every-pixel", "--masks"], "--every-pixel leaves out the masks"),
        (["a.xml"], "a.xml: masks need .onnx; --every-pixel does without"),
    ):
        assert main([*command, *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    monkeypatch.setattr(
        module, "_written", lambda *args: importlib.import_module("ncnn_is_not_here")
    )
    assert main([*command, "a.param", "--every-pixel"]) == 2
    assert "pip install 'smsr_plugin[bench]'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]
