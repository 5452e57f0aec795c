import json
import re
import shutil
from functools import partial
from statistics import mean

import cv2
import numpy as np
import pytest
import torch
from commands import run_test
from commands import train as run_train
from networks import tiny_smsr
from option_files import (
    evaluation_options,
    train_options,
    validation,
    write_options,
    write_pairs,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from smsr_plugin.checkpoints.masked_networks import load, save
from smsr_plugin.report.history import read_history
from smsr_plugin.training.model.validation_images import mask_picture

NETWORK = {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2}
SMSR_TRAINING = {
    "model_type": "SMSRModel",
    "network_g": NETWORK,
    "train:iters_per_epoch": 2,
    "train:sparsity_opt": {"type": "SparsityLoss", "loss_weight": 0.001},
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("smsr_pairs"), 11)


def train(root, pairs, changes, *arguments):
    """Train with some changed options and return the run's log."""
    options = write_options(root / "train.yml", train_options(pairs, {**SMSR_TRAINING, **changes}))
    assert run_train(["-opt", str(options), "--root", str(root), *arguments]) == 0
    folder = root / "experiments" / changes.get("name", "tiny")
    return max(folder.glob("*.log")).read_text()


@pytest.fixture
def run(tmp_path):
    """Return `train` below the folder of the test."""
    return partial(train, tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pairs):
    """Return the log of a training of 20 iterations as `SMSR_TRAINING` has it."""
    return train(tmp_path_factory.mktemp("whole"), pairs, {})


def logged(log, name):
    return [float(value) for value in re.findall(rf" {name}: (\S+)", log)]


def test_log_shows_losses_and_schedules(whole):
    assert len(logged(whole, "l_pix")) == len(logged(whole, "l_sparsity")) == 20
    assert logged(whole, "tau") == pytest.approx([1 - i / 1000 for i in range(20)])
    assert logged(whole, "lambda") == pytest.approx([0.001 * min(i / 100, 1) for i in range(20)])
    assert all(0 < kept < 1 for kept in logged(whole, "kept"))


def test_loss_falls_and_density_follows_lambda(pairs, tmp_path, run):
    shutil.copytree(pairs, tmp_path / "learnable")  # the loss on noise falls by little
    for lq in (pairs / "lq").iterdir():
        gt = cv2.resize(cv2.imread(str(lq)), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(tmp_path / "learnable" / "gt" / lq.name), gt)
    changes = {
        "train:total_iter": 60,
        "train:sparsity_warmup_epochs": 0,
        "train:optim_g": {"type": "Adam", "lr": 0.01},
        "train:scheduler": {"type": "MultiStepLR", "milestones": [1000], "gamma": 0.5},
        "logger:save_checkpoint_freq": 1000,
    }
    kept = {}
    for weight in (0.0, 1.0):
        name = f"weight{weight:.0f}"
        loss = {"type": "SparsityLoss", "loss_weight": weight}
        log = run(tmp_path / "learnable", {**changes, "train:sparsity_opt": loss, "name": name})
        l_pix = logged(log, "l_pix")
        assert mean(l_pix[-20:]) < 0.9 * mean(l_pix[:5])
        kept[weight] = mean(logged(log, "kept")[-20:])
    assert kept[1.0] < 0.5 < kept[0.0] + 0.05


def test_resumed_run_equals_an_uninterrupted_one_in_schedule_and_count(pairs, run, whole):
    log = run(pairs, {"name": "stopped", "train:total_iter": 10})
    log += run(pairs, {"name": "stopped"}, "--auto_resume")
    for name in ("tau", "lambda"):
        assert logged(log, name) == logged(whole, name)
    lr = r"iter:\s*(\d+), lr:\((\S+?),\)"
    assert re.findall(lr, log) == re.findall(lr, whole)


def test_ema_is_what_is_validated_and_converted(pairs, tmp_path, run):
    changes = validation(pairs)
    changes["val"]["converter"] = {"type": "to_sparse", "precision": "fp32"}
    log = run(pairs, {**changes, "train:ema_decay": 0.5})
    weights = tmp_path / "experiments/tiny/models/net_g_latest.pth"
    psnr = {}
    for key in ("params", "params_ema"):
        psnr[key] = evaluate(pairs, weights, tmp_path, {"path:param_key_g": key})["psnr"]
    assert psnr["params"] != pytest.approx(psnr["params_ema"], abs=1e-4)
    assert logged(log, "psnr")[-1] == pytest.approx(psnr["params_ema"], abs=1e-3)


def test_tensorboard_shows_what_the_validations_masks_were(pairs, tmp_path, run):
    changes = {"train:tau_epochs": 20, "logger:use_tb_logger": True, "logger:tb_masks": 2}
    changes |= validation(pairs)
    changes["val"]["converter"] = {"type": "to_sparse"}
    run(pairs, changes)
    events = tensorboard_events(tmp_path)

    steps = [10, 20]
    schedules = {"tau": lambda t: 1 - t / 20, "lambda": lambda t: 0.001 * t / 50}
    for name, schedule in schedules.items():
        assert [event.step for event in events.Scalars(f"validation/pairs/{name}")] == steps
        expected = {step: pytest.approx(schedule((step - 1) / 2)) for step in steps}
        assert scalars(events, f"validation/pairs/{name}") == expected
    densities = [scalars(events, f"validation/pairs/spa_density/block_{k}") for k in (1, 2)]
    for step, density in scalars(events, "metrics/pairs/spa_density").items():
        assert mean(block[step] for block in densities) == pytest.approx(density)

    net = load(tmp_path / "experiments/tiny/models/net_g_latest.pth")
    lq, gt = (images(pairs / role) for role in ("lq", "gt"))
    with torch.no_grad():
        out = net(lq, return_masks=True)
    for block, density in zip(densities, out.spa_mask.mean((0, 2, 3)).tolist(), strict=True):
        assert block[20] == pytest.approx(density)
    l_pix = scalars(events, "validation/pairs/l_pix")
    assert l_pix[20] == pytest.approx((out.sr - gt).abs().mean().item(), rel=1e-4)

    history = read_history(tmp_path / "experiments/tiny")  # what `smsr report --training` shows
    assert (history.iteration, history.total) == (20, 20)
    assert history.between("validation/pairs/spa_density/block_")["2"] == list(densities[1].items())
    assert history.series["metrics/pairs/psnr"] == list(
        scalars(events, "metrics/pairs/psnr").items()
    )
    assert {len(drawn) for drawn in history.masks.values()} == {2}
    for path in (tmp_path / "tb_logger/tiny").iterdir():
        path.unlink()
    logged = read_history(tmp_path / "experiments/tiny")
    assert logged.source == "the log"
    for tag in ("losses/l_pix", "lr", "tau", "metrics/pairs/psnr"):
        expected = [(i, pytest.approx(v, rel=1e-3)) for i, v in history.series[tag]]
        assert logged.series[tag] == expected

    tags = events.Tags()["images"]
    assert len(tags) == 2
    for tag in tags:  # BasicSR takes files in the order of the folder, whatever it is
        image = int(tag.removeprefix("validation/pairs/masks/"))
        pictures = events.Images(tag)
        assert [picture.step for picture in pictures] == steps
        encoded = np.frombuffer(pictures[-1].encoded_image_string, np.uint8)
        shown = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]
        lq_image = (lq[image] * 255).round().byte().permute(1, 2, 0).numpy()
        expected = mask_picture(lq_image, out.spa_mask[image].numpy() > 0)
        np.testing.assert_array_equal(shown, expected)


def test_without_tb_masks_tensorboard_has_only_the_metrics(pairs, tmp_path, run):
    run(pairs, {"logger:use_tb_logger": True, **validation(pairs)})
    tags = tensorboard_events(tmp_path).Tags()
    assert "metrics/pairs/psnr" in tags["scalars"]
    assert not [tag for tag in tags["scalars"] if tag.startswith("validation/")]
    assert not tags["images"]


def tensorboard_events(root):
    events = EventAccumulator(str(root / "tb_logger/tiny"), {"images": 0, "scalars": 0})  # all
    return events.Reload()


def scalars(events, tag):
    """Return step → value."""
    return {event.step: event.value for event in events.Scalars(tag)}


def images(folder):
    """Return the images 0.png, 1.png, … as one batch, RGB in 0…1."""
    paths = sorted(folder.iterdir(), key=lambda path: int(path.stem))
    batch = np.stack([cv2.imread(str(path))[..., ::-1] for path in paths])
    return torch.from_numpy(batch).permute(0, 3, 1, 2) / 255


def evaluate(pairs, weights, tmp_path, changes):
    """Test a network and return the results of the set."""
    changes = {"model_type": "SMSRModel", "network_g": NETWORK, **changes}
    options = evaluation_options(pairs, weights, changes)
    path = write_options(tmp_path / "test.yml", options)
    assert run_test(["-opt", str(path), "--root", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results/tiny/metrics.json").read_text())
    return results["pairs"]


@pytest.fixture
def weights(tmp_path):
    net = tiny_smsr(num_feat=4, num_layer=2, num_block=2).float()
    save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_dense_and_sparse_give_the_same_images_and_figures(pairs, weights, tmp_path):
    dense = evaluate(pairs, weights, tmp_path, {})
    sparse = evaluate(pairs, weights, tmp_path, {"val:converter": {"type": "to_sparse"}})
    for results in (dense, sparse):
        assert results.pop("seconds") > 0
    assert dense == pytest.approx(sparse, rel=1e-5)
    assert 0 < dense["spa_density"] < 1
    assert dense["macs_kept"] == pytest.approx(dense["gmacs"] / dense["gmacs_dense"])
    images = list((tmp_path / "results/tiny/visualization/pairs").glob("*.png"))
    assert len(images) == 11


def test_a_set_without_ground_truth_is_upscaled_and_its_metrics_skipped(pairs, weights, tmp_path):
    lq_only = {
        "name": "pairs",
        "type": "SingleImageDataset",
        "dataroot_lq": str(pairs / "lq"),
        "io_backend": {"type": "disk"},
    }
    results = evaluate(pairs, weights, tmp_path, {"datasets": {"test": lq_only}})
    assert "psnr" not in results
    assert results["gmacs"] > 0
    assert len(list((tmp_path / "results/tiny/visualization/pairs").glob("*.png"))) == 11


def test_loads_weights_of_another_img_range(pairs, weights, tmp_path):
    plain = evaluate(pairs, weights, tmp_path, {})
    wide = evaluate(pairs, weights, tmp_path, {"network_g": {**NETWORK, "img_range": 255.0}})
    assert wide["psnr"] == pytest.approx(plain["psnr"], abs=1e-4)


def failure(capsys, pairs, tmp_path, changes):
    """Return the error that a training with these changes ends with."""
    options = train_options(pairs, {**SMSR_TRAINING, **changes})
    path = write_options(tmp_path / "train.yml", options)
    assert run_train(["-opt", str(path), "--root", str(tmp_path)]) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"train:iters_per_epoch": None}, "iters_per_epoch"),
        ({"train:sparsity_opt": None}, "sparsity_opt is missing"),
        ({"train:autocast": "fp8"}, "autocast"),
        ({"train:accumulate": 5}, "accumulate must be at most 4"),
        ({"train:accumulat": 2}, "accumulate"),
        ({"logger:tb_masks": "2"}, "logger.tb_masks: expected a whole number of at least 0 or ~"),
        ({"train:perceptual_opt": {"type": "PerceptualLoss"}}, "perceptual_opt"),
    ],
)
def test_wrong_options_end_with_one_line(capsys, pairs, tmp_path, changes, error):
    assert error in failure(capsys, pairs, tmp_path, changes)


def test_unknown_converter_is_named(capsys, pairs, tmp_path):
    changes = validation(pairs)
    changes["val"]["converter"] = {"type": "to_onnx"}
    error = failure(capsys, pairs, tmp_path, changes)
    assert "to_onnx" in error
    assert "to_sparse" in error


def test_weights_that_do_not_fit_are_named(capsys, pairs, weights, tmp_path):
    changes = {"network_g": {**NETWORK, "num_feat": 8}, "path:pretrain_network_g": str(weights)}
    error = failure(capsys, pairs, tmp_path, changes)
    assert "num_feat 4 in the file, 8 in network_g" in error


@pytest.mark.parametrize(
    "options",
    [
        {"train:autocast": "bf16"},
        {"train:channels_last": False},
        {"train:accumulate": 3, "train:grad_clip": 1e6},
    ],
)
def test_fast_modes_train_alike(pairs, run, whole, options):
    fast = logged(run(pairs, options), "l_pix")
    assert len(fast) == 20
    assert fast == pytest.approx(logged(whole, "l_pix"), rel=0.03)


@pytest.mark.parametrize(
    ("held", "asked", "taken"),
    [
        (("params",), "params", None),
        (("params",), "params_ema", "params"),
        (("params", "params_ema"), "params_ema", None),
        (("params", "params_ema"), "parms", "params"),
        (("state_dict",), "params", "state_dict"),
        ((), "params_ema", "None"),
    ],
)
def test_the_log_says_which_entry_was_loaded(pairs, tmp_path, held, asked, taken):
    nets = [tiny_smsr(num_feat=4, num_layer=2, num_block=2, seed=seed).float() for seed in (1, 2)]
    content = {key: net.state_dict() for key, net in zip(held, nets, strict=False)}
    file = tmp_path / "net.pth"
    torch.save(content or nets[0].state_dict(), file)
    results = evaluate(pairs, file, tmp_path, {"path:param_key_g": asked})
    (log,) = (tmp_path / "results" / "tiny").glob("test_tiny_*.log")
    text = log.read_text()
    loaded = asked if taken is None else taken
    assert f"[{loaded}]" in text
    said = (
        f"its entry {taken} is"
        if held
        else "the whole file, which holds the weights themselves, is"
    )
    assert (f"WARNING: {file} has no entry {asked}: {said} taken." in text) == (taken is not None)
    right = nets[held.index(loaded) if loaded in held else 0]
    save(right, tmp_path / "right.safetensors")
    changes = {"name": "right", "path:param_key_g": asked}
    expected = evaluate(pairs, tmp_path / "right.safetensors", tmp_path, changes)
    assert results["psnr"] == pytest.approx(expected["psnr"], abs=1e-9)
    (log,) = (tmp_path / "results" / "right").glob("test_right_*.log")
    assert "WARNING" not in log.read_text()  # a safetensors file has no entries to choose from


def test_a_network_without_masks_is_refused(run_training, capsys):
    changes = {"model_type": "SMSRModel", "train:iters_per_epoch": 2}
    changes["train:sparsity_opt"] = {"type": "SparsityLoss", "loss_weight": 0.001}
    assert run_training(changes) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "smsr train: error: network_g.type must be a network with masks, such as SMSR, for "
        "SMSRModel, got MSRResNet; train it with model_type: SRModel"
    )
