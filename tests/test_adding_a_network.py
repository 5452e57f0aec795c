"""A network with masks that the package does not know goes through all of it: docs/adding.md."""

from __future__ import annotations

import inspect
import json
import re

import cv2
import numpy as np
import pytest
import torch
import toy_network
from option_files import train_options, validation, write_options, write_pairs
from toy_network import Toy

from smsr_plugin import to_sparse
from smsr_plugin.checkpoints.masked_networks import load
from smsr_plugin.cli.main import main
from smsr_plugin.compare.oracle import threshold_of
from smsr_plugin.training import registration

# isort: split
from basicsr.utils.registry import ARCH_REGISTRY

#: Sums of a few dozen float32 terms of about 1, and differences of images in 0…1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module", autouse=True)
def _registered():
    """What a line in `registration.ENTRIES` does."""
    entries = registration.ENTRIES
    registration.ENTRIES = (*entries, (ARCH_REGISTRY, Toy))
    registration.register_all()
    yield
    registration.ENTRIES = entries
    del ARCH_REGISTRY._obj_map["Toy"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of a training that validates the network as it will be used."""
    folder = tmp_path_factory.mktemp("toy")
    pairs = write_pairs(folder, 11)
    changes = {
        "model_type": "SMSRModel",
        "network_g": {"type": "Toy", "num_feat": 6, "upscale": 2},
        "train:iters_per_epoch": 2,
        "train:sparsity_opt": {"type": "SparsityLoss", "loss_weight": 0.1},
        "train:ema_decay": 0.9,
        **validation(pairs),
        "val:converter": {"type": "to_sparse"},
    }
    options = write_options(folder / "toy.yml", train_options(pairs, changes))
    assert main(["train", "-opt", str(options), "--root", str(folder)]) == 0
    # A training that goes on from its weights, of which it takes those that fit.
    changes |= {"name": "wider", "train:total_iter": 1, "network_g:num_feat": 8}
    changes |= {"path:pretrain_network_g": str(folder / "experiments/tiny/models/net_g_20.pth")}
    changes |= {"path:strict_load_g": False}
    options = write_options(folder / "wider.yml", train_options(pairs, changes))
    assert main(["train", "-opt", str(options), "--root", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def weights(trained):
    return trained / "experiments/tiny/models/net_g_latest.pth"


def test_it_is_told_in_under_100_lines():
    assert len(inspect.getsource(toy_network).splitlines()) < 100


def test_it_is_trained_and_validated(trained):
    (log,) = (trained / "experiments/tiny").glob("train_*.log")
    assert len(re.findall(r"l_pix: \S+ l_sparsity: \S+ spa_density: ", log.read_text())) == 20
    models = trained / "experiments/tiny/models"
    before, after = (load(models / f"net_g_{i}.pth").state_dict() for i in (5, 20))
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    history = json.loads((trained / "experiments/tiny/validation.json").read_text())
    assert len(history["pairs"]) == 2
    (log,) = (trained / "experiments/wider").glob("train_*.log")
    assert "Loading 2 tensors of Toy from" in log.read_text()  # the biases of mask and tail


def test_sparse_inference_is_the_network_itself(weights):
    net = load(weights)
    assert type(net) is Toy
    x = torch.rand(2, 3, 13, 22, generator=torch.Generator().manual_seed(0))
    threshold = threshold_of(net(x, return_masks=True).logits, density=0.5)
    out = net(x, threshold=threshold, return_masks=True)
    for backend in ("reference", "native"):
        sparse = to_sparse(net, threshold=threshold, backend=backend)
        sr, stats = sparse(x, return_stats=True)
        assert 0.4 < stats.spa_density.mean() < 0.6
        assert torch.equal(stats.spa_mask, out.spa_mask > 0)
        torch.testing.assert_close(sr, out.sr, **CLOSE)


def test_it_is_converted_counted_reported_exported_and_enlarges_images(weights, tmp_path, capsys):
    converted = tmp_path / "toy.safetensors"
    assert main(["convert", str(weights), str(converted)]) == 0
    assert "Toy state dict" in capsys.readouterr().out
    net = load(converted)
    assert main(["flops", "--weights", str(converted), "--density", "0.5"]) == 0
    assert "at density 0.5" in capsys.readouterr().out

    image = np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "lq.png"), image)
    arguments = ["upscale", str(tmp_path / "lq.png"), "--weights", str(converted)]
    assert main([*arguments, "-o", str(tmp_path / "sr.png")]) == 0
    found = cv2.imread(str(tmp_path / "sr.png"))[..., ::-1].astype(int)
    lq = torch.from_numpy(image[..., ::-1].transpose(2, 0, 1) / 255).float()[None]
    expected = (255 * net(lq)[0].clamp(0, 1)).round().permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() <= 1

    page = tmp_path / "page.html"
    report = ["report", str(tmp_path / "lq.png"), "--weights", str(converted), "--runs", "1"]
    assert main([*report, "-o", str(page)]) == 0
    assert page.stat().st_size > 0

    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    assert main(["export", str(converted), str(tmp_path / "toy.onnx"), "--masks"]) == 0
    assert "differs from PyTorch by at most" in capsys.readouterr().out
