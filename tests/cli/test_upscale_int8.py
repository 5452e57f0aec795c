"""`smsr upscale --precision int8`: where it runs, and one line where it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from image_files import eight, noise, save
from masked_networks import tiny_masked_rlfn
from networks import tiny_smsr, with_peaks
from PIL import Image
from pretended_kernels import pretend, runs_int8

import smsr_plugin
from smsr_plugin.cli.main import main

PEAKS = "net.safetensors: no peaks tell what 8 bits have to span in this network: `smsr convert IN"
TILES = "and this network has masks at tiles: take the package's SMSR (--model smsr), or bf16"


@pytest.fixture(autouse=True)
def _image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png", eight(9, 12))


def refused(capsys, *options: str) -> str:
    """Upscale what cannot be; return the one line that says so."""
    assert main(["upscale", "a.png", "-o", "out.png", "--precision", "int8", *options]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith("smsr upscale: error: ")
    return printed.err


@pytest.fixture
def _no_pytorch(monkeypatch):
    """Make it a fault to load a network into PyTorch."""
    monkeypatch.delattr("smsr_plugin.checkpoints.masked_networks.load")


@runs_int8
@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_the_pixels_are_those_of_the_network_in_int8(tmp_path, name):
    net = with_peaks(tiny_smsr(3).float())
    smsr_plugin.save(net, tmp_path / "net.safetensors")
    torch.save(net.state_dict(), tmp_path / "net.pth")  # what PyTorch reads
    lq = noise(20, 24, 3)
    save(tmp_path / "a.png", lq)
    command = ["upscale", "a.png", "-o", "out.png", "--weights", name, "--precision"]
    assert main([*command, "int8"]) == 0
    with Image.open("out.png") as image:
        found = np.asarray(image)
    x = torch.from_numpy(np.ascontiguousarray(lq.transpose(2, 0, 1)))[None] / 255
    sr = smsr_plugin.to_sparse(smsr_plugin.load("net.safetensors"), "int8")(x)
    expected = (sr[0].clamp(0, 1) * 255).round().numpy().astype(np.uint8)
    assert (found == expected.transpose(1, 2, 0)).all()
    larger = smsr_plugin.upscale(lq, name, precision="int8")
    assert (larger == found).all()
    assert not (smsr_plugin.upscale(lq, name) == found).all()


@pytest.mark.usefixtures("_no_pytorch")
@pytest.mark.parametrize("make", [tiny_smsr, tiny_masked_rlfn])
def test_a_network_that_does_not_run_in_int8_is_told_before_pytorch(
    tmp_path, monkeypatch, capsys, make
):
    pretend(monkeypatch, "amx")
    smsr_plugin.save(make().float(), tmp_path / "net.safetensors")
    error = refused(capsys, "--weights", "net.safetensors")
    assert (PEAKS if make is tiny_smsr else TILES) in error


@pytest.mark.usefixtures("_no_pytorch")
@pytest.mark.parametrize("more", [(), ("--budget", "1")])
def test_of_the_package_s_default_at_x2_the_model_to_take_is_told(monkeypatch, capsys, more):
    pretend(monkeypatch, "amx")
    monkeypatch.delenv("SMSR_WEIGHTS", raising=False)
    error = refused(capsys, *more)
    assert TILES in error
    assert "densities" not in error


@pytest.mark.usefixtures("_no_pytorch")
@pytest.mark.parametrize(
    ("isa", "message"),
    [
        ("avx512_bf16", "int8 needs matrix tiles (AMX), and avx512_bf16 has none: take bf16\n"),
        ("avx2", "int8 needs matrix tiles (AMX), and avx2 has none: take fp32\n"),
        (None, "int8 needs the native kernels, which were not built: take fp32\n"),
    ],
)
def test_a_processor_without_matrix_tiles_is_told_before_a_file_is_read(
    monkeypatch, capsys, isa, message
):
    pretend(monkeypatch, isa)
    for more in ([], ["--budget", "1"], ["--weights", "absent.pth"]):
        assert refused(capsys, *more) == f"smsr upscale: error: {message}"


def test_a_file_for_pytorch_is_told_the_same(tmp_path, monkeypatch, capsys):
    pretend(monkeypatch, "amx")
    torch.save(tiny_smsr().float().state_dict(), tmp_path / "net.pth")
    assert "no peaks tell what 8 bits have to span" in refused(capsys, "--weights", "net.pth")


def test_what_computes_every_pixel_knows_no_int8(tmp_path, capsys):
    smsr_plugin.save(tiny_smsr().float(), tmp_path / "net.safetensors")
    weights = ["--weights", "net.safetensors"]
    assert "the dense oracle computes in fp32, not in int8" in refused(capsys, *weights, "--dense")
    engine = ["--engine", "pytorch"]
    assert "pytorch does not run in int8" in refused(capsys, *weights, *engine)
