from __future__ import annotations

import json

import pytest
import torch
from commands import flops
from safetensors.torch import load_file

from smsr_plugin.archs.masked import MaskedOutput
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.checkpoints.masked_networks import load
from smsr_plugin.cli import sparsify as command
from smsr_plugin.cli.main import main
from smsr_plugin.images.pixels import as_lq
from smsr_plugin.images.rgb import read_rgb
from smsr_plugin.sparsify import finetune, importance, photographs, run, state

ARGUMENT = "num_feat=4"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "rlfn.pth"
    torch.save({"params": RLFN(num_feat=4, upscale=2).state_dict()}, path)
    return path


@pytest.fixture
def photos(tmp_path, make_images):
    return make_images(tmp_path / "photos", {f"{n}.png": (200, 200) for n in range(3)})


def sparsify(weights, photos, out, *more):
    argv = [f"RLFN={weights},{ARGUMENT}", "-o", str(out), "--data", str(photos), *more]
    return main(["sparsify", *argv])


def test_from_dense_weights_to_an_image(weights, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(importance, "STEPS", 5)
    monkeypatch.setattr(photographs, "PIECES", 4)
    monkeypatch.setattr(run, "MORE_PIECES", 1)
    # Fresh weights are worse than bicubic interpolation, and would be refused.
    monkeypatch.setattr(run, "check_dense", lambda *_: None)
    out = tmp_path / "masked.safetensors"
    assert sparsify(weights, photos, out, "--density", "0.5", "--iters", "2") == 0
    printed = capsys.readouterr().out
    card = (tmp_path / "masked.md").read_text()
    assert card in printed
    assert "fine-tuned for 2 steps" in card
    rows = [line for line in card.splitlines() if line.startswith("| 1 |")]
    assert len(rows) == 1
    assert "| 1.000 | 1.00 |" in rows[0]

    net = load(out)
    assert net.config.num_narrow == 12
    output = net(torch.from_numpy(as_lq(read_rgb(photos / "0.png"))), return_masks=True)
    assert isinstance(output, MaskedOutput)
    assert 0.2 < output.spa_mask.mean() < 0.8

    larger = tmp_path / "larger"
    arguments = [str(photos / "0.png"), "--weights", str(out), "--density", "1", "--json"]
    assert main(["upscale", *arguments, "-o", str(larger)]) == 0
    assert json.loads(capsys.readouterr().out)
    (written,) = larger.glob("*.png")
    assert read_rgb(written).shape == (400, 400, 3)

    assert flops(["--weights", str(out), "--density", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("MaskedRLFN x2, output 1280×720")
    assert "at density 0.5" in printed


def quality(card):
    """Return the rows of a card without their seconds."""
    rows = [line.split("|")[1:-1] for line in card.read_text().splitlines() if "|" in line][2:]
    assert all(float(row[-1]) > 0 for row in rows)
    return [row[:-1] for row in rows]


def test_interrupted_it_goes_on_and_ends_the_same(weights, photos, tmp_path, capsys, monkeypatch):
    for module in (run, importance):
        monkeypatch.setattr(module, "STEPS", 5)
    monkeypatch.setattr(photographs, "PIECES", 2)
    monkeypatch.setattr(run, "MORE_PIECES", 2)
    monkeypatch.setattr(run, "check_dense", lambda *_: None)
    monkeypatch.setattr(command, "EVERY", 0.0)
    whole, out = tmp_path / "whole.safetensors", tmp_path / "masked.safetensors"
    assert sparsify(weights, photos, whole, "--iters", "4") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("smsr sparsify: 1 of ")
    assert " left (" in lines[-2]

    step, taken = finetune.Finetuning.step, []

    def interrupted(training):
        taken.append(training.done)
        if training.done == 2:
            raise KeyboardInterrupt
        return step(training)

    with monkeypatch.context() as patch:
        patch.setattr(finetune.Finetuning, "step", interrupted)
        patch.setattr(state, "INTERVAL", 0.0)
        assert sparsify(weights, photos, out, "--iters", "4") == 130
    assert not out.exists()
    assert sparsify(weights, photos, out, "--iters", "5") == 2
    assert "an interrupted run of another --iters" in capsys.readouterr().err
    assert sparsify(weights, photos, out, "--iters", "4") == 0
    assert "goes on at step" in capsys.readouterr().err
    made, expected = load_file(out), load_file(whole)  # the order in a header is any
    assert made.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in made.items())
    of_both = [quality(path.with_suffix(".md")) for path in (out, whole)]
    assert of_both[0] == of_both[1]
    assert len(of_both[0]) == 8
    assert not list(tmp_path.glob("*.state"))


def test_a_network_worse_than_bicubic_is_refused(weights, photos, tmp_path, capsys):
    out = tmp_path / "masked.safetensors"
    assert sparsify(weights, photos, out) == 2
    error = capsys.readouterr().err
    assert "bicubic interpolation" in error
    assert "img_range=255" in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "more", "message"),
    [
        ("masked.pth", [], "must end in .safetensors"),
        ("there.safetensors", [], "exists; --force replaces it"),
        ("m.safetensors", ["--data", "nowhere"], "nowhere"),
        ("there.safetensors", ["--scale", "3", "--force"], "shape"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    weights, photos, tmp_path, capsys, out, more, message
):
    (tmp_path / "there.safetensors").write_text("precious")
    assert sparsify(weights, photos, tmp_path / out, *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("smsr sparsify: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert (tmp_path / "there.safetensors").read_text() == "precious"


def test_other_networks_are_refused(photos, tmp_path, capsys):
    argv = ["PAN", "-o", str(tmp_path / "m.safetensors"), "--data", str(photos)]
    assert main(["sparsify", *argv]) == 2
    assert "masks are known for RLFN, SRVGGNetCompact, not for PAN" in capsys.readouterr().err
