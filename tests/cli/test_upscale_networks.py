"""`smsr upscale` with networks of other kinds, and in other engines."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import save, smooth
from networks import tiny_smsr
from PIL import Image

from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.checkpoints.masked_networks import save as save_checkpoint
from smsr_plugin.cli.main import main

SMALL = {"num_feat": 4, "num_up_feat": 4, "num_block": 1}
PAN_FILE = "PAN=pan.pth,num_feat=4,num_up_feat=4,num_block=1"


@pytest.fixture(autouse=True)
def pan(tmp_path, monkeypatch):
    """Return a small PAN, whose weights are in pan.pth; a.png and b.png are images."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    net = PAN(**SMALL, upscale=2).eval()
    torch.save({"params": net.state_dict()}, "pan.pth")
    for name, size in (("a", (18, 24)), ("b", (20, 16))):
        save(tmp_path / "in" / f"{name}.png", pixels(*size))
    return net


def pixels(height: int, width: int) -> np.ndarray:
    return np.rint(smooth(height, width, 3) * 255).astype(np.uint8)


def larger(net, height: int, width: int) -> np.ndarray:
    """Return what a network makes of an image, 0…255, not rounded."""
    x = torch.from_numpy(pixels(height, width)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        return net(x)[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255


def written(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image).astype(float)


@pytest.mark.parametrize("engine", [None, "pytorch", "onnxruntime", "openvino"])
def test_a_network_of_basicsrs_registry(pan, capsys, engine):
    if engine in ("onnxruntime", "openvino"):
        pytest.importorskip(engine)
    option = [] if engine is None else ["--engine", engine]
    assert main(["upscale", "in", "-o", "out", "--weights", PAN_FILE, "--json", *option]) == 0
    first, second = json.loads(capsys.readouterr().out)["images"]
    assert (first["density"], first["kept"], first["tiles"]) == (1, 1, 1)
    assert second["size"] == [32, 40]
    for name, size in (("a", (18, 24)), ("b", (20, 16))):
        assert np.abs(written(f"out/{name}.png") - larger(pan, *size)).max() < 0.52


def test_what_spandrel_recognises(capsys):
    pytest.importorskip("spandrel")
    compact = importlib.import_module("spandrel.architectures.Compact.__arch.SRVGG")
    torch.manual_seed(2)
    net = compact.SRVGGNetCompact(num_feat=8, num_conv=2, upscale=3).eval()
    torch.save(net.state_dict(), "compact.pth")
    assert main(["upscale", "in/a.png", "-o", "c.png", "--weights", "compact.pth"]) == 0
    assert np.abs(written("c.png") - larger(net, 18, 24)).max() < 0.52
    assert (
        main(["upscale", "in/a.png", "-o", "c.png", "--weights", "compact.pth", "--scale", "2"])
        == 2
    )
    assert "compact.pth: is a network for x3, asked for was x2" in capsys.readouterr().err


def test_a_network_with_masks_in_another_engine_is_the_oracle(tmp_path):
    pytest.importorskip("onnxruntime")
    save_checkpoint(tiny_smsr(3).float(), tmp_path / "net.safetensors")
    weights = ["--weights", "net.safetensors"]
    assert main(["upscale", "in/a.png", "-o", "one.png", "--dense", *weights]) == 0
    assert main(["upscale", "in/a.png", "-o", "two.png", "--engine", "onnxruntime", *weights]) == 0
    assert np.abs(written("one.png") - written("two.png")).max() <= 1


def test_tiles_are_for_other_networks_too(pan, capsys):
    save(Path("large.png"), pixels(90, 100))
    command = ["upscale", "large.png", "-o", "d.png", "--weights", PAN_FILE, "--json"]
    assert main([*command, "--tile", "64", "--tile-overlap", "16"]) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["tiles"] == 4
    # PAN's attention looks at each pixel alone; only what tiles miss at their edges differs.
    difference = np.abs(written("d.png") - larger(pan, 90, 100))
    assert difference.max() < 2
    assert (difference > 0.52).mean() < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([PAN_FILE, "--density", "0.2"], "--density: PAN=pan.pth"),
        (["PAN=pan.pth"], "pan.pth: does not fit PAN"),
        (["PAN=none.pth"], "none.pth: cannot be read"),
        ([f"{PAN_FILE},engine=ncnn"], "engine is for smsr benchmark"),
        (["NAN=pan.pth"], "NAN"),
        (["PAN", "--engine", "pytorch"], "PAN: has no weights; name a file, PAN=FILE"),
        (["net.safetensors", "--engine", "pytorch", "--scale", "3"], "is a network for x2"),
        ([PAN_FILE, "--engine", "onnxruntime", "--precision", "bf16"], "does not run in bf16"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, capsys, arguments, message):
    save_checkpoint(tiny_smsr(3).float(), tmp_path / "net.safetensors")
    assert main(["upscale", "in", "-o", "out", "--weights", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert not (tmp_path / "out").exists()


def test_an_engine_that_fails_fails_that_image(monkeypatch, capsys):
    runs = importlib.import_module("smsr_plugin.engines.pytorch").TorchEngine
    own = runs.run

    def run(self, prepared):
        if prepared.x.shape[-1] == 24:
            raise ValueError("a layer\nof its own")
        return own(self, prepared)

    monkeypatch.setattr(runs, "run", run)
    assert main(["upscale", "in", "-o", "out", "--weights", PAN_FILE]) == 1
    error = capsys.readouterr().err
    assert error == "smsr upscale: error: in/a.png: PyTorch, channels-last: a layer\n"
    assert [path.name for path in Path("out").iterdir()] == ["b.png"]
