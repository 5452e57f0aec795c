"""Trainings with `train.masks`: every pixel first, then the density that is asked for."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from networks import tiny_smsr
from option_files import train_options, validation, write_options, write_pairs

from smsr_plugin.archs.density import POINTS
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.smsr_program import PEAKS
from smsr_plugin.checkpoints.masked_networks import load, save
from smsr_plugin.checkpoints.network import read
from smsr_plugin.cli.main import main
from smsr_plugin.training.model.mask_training import follow_density
from smsr_plugin.training.model.pretrained import pretrained_state
from smsr_plugin.training.options.train import MaskOptions
from smsr_plugin.training.registration import build_architecture

NETWORK = {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2}
TEACHER = {"type": "MSRResNet", "num_feat": 4, "num_block": 1, "upscale": 2}
MASKS = {"density": 0.4, "density_start": 0.9, "dense_iters": 6, "density_iters": 10}
TRAINING = {
    "model_type": "SMSRModel",
    "network_g": NETWORK,
    "train:masks": MASKS,
    "train:detail_opt": {"type": "DetailLoss"},
    "train:optim_g": {"type": "Adam", "lr": 0.001},
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("mask_pairs"), 11)


def train(root, pairs, changes, *arguments):
    """Train with some changed options; return log and folder."""
    options = write_options(root / "train.yml", train_options(pairs, {**TRAINING, **changes}))
    assert main(["train", "-opt", str(options), "--root", str(root), *arguments]) == 0
    folder = root / "experiments" / changes.get("name", "tiny")
    return max(folder.glob("*.log")).read_text(), folder


@pytest.fixture
def run(tmp_path):
    """Return `train` below the folder of the test."""
    return partial(train, tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pairs):
    """Return the folder of a training of 20 iterations as `TRAINING` has it."""
    return train(tmp_path_factory.mktemp("whole"), pairs, {})[1]


def logged(log, name):
    return [float(value) for value in re.findall(rf" {name}: (\S+)", log)]


def test_the_density_is_a_function_of_the_iteration():
    masks = MaskOptions(0.4, density_start=0.9, dense_iters=6, density_iters=10)
    densities = [masks.density_at(i) for i in (1, 6, 7, 11, 16, 17, 1000)]
    assert densities == pytest.approx([1, 1, 0.85, 0.65, 0.4, 0.4, 0.4])
    assert MaskOptions(0.4).density_at(1) == pytest.approx(0.4)
    weights = MaskOptions(0.4, dense_iters=6, detail_iters=4)
    assert [weights.detail_weight(i, 1.0, 0.2) for i in (8, 10, 50)] == pytest.approx(
        [0.6, 0.2, 0.2]
    )


def test_every_pixel_first_then_the_share_that_is_asked_for(pairs, run):
    log, folder = run(pairs, {"train:total_iter": 120, "logger:save_checkpoint_freq": 1000})
    assert "WARNING: Params" not in log  # of the channel masks, which stay as they are
    density = logged(log, "spa_density")
    assert density[:6] == [1.0] * 6
    assert len(logged(log, "l_detail")) == 114  # none while every pixel is computed
    assert sum(density[-50:]) / 50 == pytest.approx(0.4, abs=0.05)
    assert logged(log, "density")[-114] == pytest.approx(0.85)

    net = load(folder / "models/net_g_latest.pth")
    assert net.channel_masks().min() == 1  # all sparse, from beginning to end
    lq = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    masks = net(lq, return_masks=True).spa_mask
    assert masks.mean().item() == pytest.approx(0.4, abs=0.15)
    for k in range(2):  # no block computes all or nothing
        assert 0.05 < masks[:, k].mean() < 0.95


def test_a_checkpoint_of_the_first_phase_computes_every_pixel(pairs, run):
    _, folder = run(pairs, {"train:total_iter": 5})
    net = load(folder / "models/net_g_latest.pth")
    assert net.density_curve is None
    assert net(torch.rand(1, 3, 8, 8), return_masks=True).spa_mask.min() == 1


@pytest.mark.parametrize("stop", [5, 6, 15])
def test_a_resumed_training_equals_one_that_was_not_stopped(pairs, run, whole, stop):
    run(pairs, {"name": "stopped", "train:total_iter": stop})
    _, stopped = run(pairs, {"name": "stopped"}, "--auto_resume")
    state, expected = (
        read(folder / "models/net_g_latest.pth").state_dict for folder in (stopped, whole)
    )
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(state[key], value), key


def test_batches_in_parts_take_the_same_step(pairs, run):
    _, whole = run(pairs, {"name": "whole", "train:total_iter": 8})
    _, parts = run(pairs, {"name": "parts", "train:total_iter": 8, "train:accumulate": 2})
    one, two = (load(f / "models/net_g_latest.pth").state_dict() for f in (whole, parts))
    for key in one:  # quantiles of halves are not those of the whole, so only nearly
        torch.testing.assert_close(one[key], two[key], rtol=0, atol=0.05)


def test_a_teacher_is_loaded_frozen_and_resumed(pairs, tmp_path, run):
    teacher = tmp_path / "teacher.pth"
    net, _, _ = build_architecture("MSRResNet", {"num_feat": 4, "num_block": 1}, 2)
    torch.save({"params": net.state_dict()}, teacher)
    changes = {
        "network_t": TEACHER,
        "path:pretrain_network_t": str(teacher),
        "path:ignore_resume_networks": ["network_t"],
        "train:teacher_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
        "train:pixel_opt": {"type": "L1Loss", "loss_weight": 0.0, "reduction": "mean"},
        **validation(pairs),
    }
    log, folder = run(pairs, {**changes, "train:total_iter": 10})
    assert logged(log, "l_pix")[:10] == [0.0] * 10
    assert min(logged(log, "l_teacher")) > 0
    assert not list((folder / "models").glob("net_t*"))
    log, _ = run(pairs, changes, "--auto_resume")
    assert len(logged(log, "l_teacher")) == 10


def test_weights_with_their_curve_load_without_a_word_on_differing_keys(
    pairs, run, whole, tmp_path
):
    given = load(whole / "models/net_g_latest.pth")
    given.feature_peaks = torch.ones(2, 3)
    weights = str(tmp_path / "given.safetensors")
    save(given, weights)
    changes = {
        "name": "second",
        "path:pretrain_network_g": weights,
        "train:masks": {"density": 0.4},
        "train:total_iter": 1,
    }
    log, folder = run(pairs, changes)
    assert "Loading SMSR from" in log
    assert "Loaded net - current net" not in log
    assert "Current net - loaded net" not in log
    trained = load(folder / "models/net_g_latest.pth")
    assert trained.density_curve is not None
    assert trained.feature_peaks is None  # they were chosen for the weights as they came


@pytest.mark.parametrize("strict", [True, False])
def test_peaks_of_weights_are_left_only_where_the_weights_will_change(tmp_path, strict):
    given, net = (tiny_smsr(num_feat=4).float() for _ in range(2))
    given.feature_peaks = torch.ones(2, 4)
    save(given, tmp_path / "given.safetensors")
    for is_train in (True, False):
        state = pretrained_state(
            net, tmp_path / "given.safetensors", strict=strict, param_key=None, is_train=is_train
        )
        assert (PEAKS in state) != is_train
        assert state.keys() - {PEAKS} == net.state_dict().keys()


def test_weights_of_another_scale_give_every_tensor_that_fits(tmp_path, run, whole):
    x4_pairs = write_pairs(tmp_path / "x4_pairs", 4, scale=4)
    weights = str(whole / "models/net_g_latest.pth")
    changes = {
        "name": "x4",
        "scale": 4,
        "network_g": {**NETWORK, "upscale": 4},
        "datasets:train:gt_size": 32,
        "path:pretrain_network_g": weights,
        "path:strict_load_g": False,
        "train:masks": {"density": 0.6},
        "train:total_iter": 1,
        "train:optim_g": {"type": "Adam", "lr": 1e-9},
    }
    log, folder = run(x4_pairs, changes)
    assert "not taken, because they do not fit: tail.0.bias, tail.0.weight." in log
    found, given = load(folder / "models/net_g_latest.pth"), load(weights)
    torch.testing.assert_close(found.head[0].weight, given.head[0].weight, rtol=0, atol=1e-7)
    assert found.density_curve is not None


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (
            {"train:masks": {"density": 0}},
            "train.masks.density: expected a number above 0 and of at most 1, got 0",
        ),
        ({"train:masks": {}}, "got nothing; it is a share of the pixels, e.g. {density: 0.4}"),
        (
            {"train:masks": {"density": 0.4, "densty": 1}},
            "train.masks.densty: expected a known key (did you mean density?)",
        ),
        (
            {"train:masks": {"density": 0.4, "dense_iters": -1}},
            "dense_iters: expected a whole number of at least 0, got -1",
        ),
        ({"train:masks": {"density": 0.4, "lr": 2}}, "train.masks.lr"),
        ({"train:detail_opt": None}, "train.detail_opt is missing"),
        (
            {"train:sparsity_opt": {"type": "SparsityLoss"}},
            "train.sparsity_opt is not for the masks of train.masks: remove it",
        ),
        (
            {"train:teacher_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}},
            "needs both network_t",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(capsys, pairs, tmp_path, changes, error):
    options = train_options(pairs, {**TRAINING, **changes})
    path = write_options(tmp_path / "train.yml", options)
    assert main(["train", "-opt", str(path), "--root", str(tmp_path)]) == 2
    assert error in capsys.readouterr().err.splitlines()[-1]


def test_running_curves_weigh_few_batches_alike_and_many_slowly():
    torch.manual_seed(0)
    curves = [torch.randn(2, POINTS).sort(1, descending=True).values for _ in range(3)]
    net = SMSR(num_feat=4, num_layer=1, num_block=2)
    biases = [block.spa_mask.deconv.bias.detach() for block in net.blocks]
    first = [float(bias[1]) for bias in biases]

    def moved():
        """Return how far the logits have been lowered, which those of a batch follow."""
        return torch.tensor([[a - float(b[1])] for a, b in zip(first, biases, strict=True)])

    for batch, curve in enumerate(curves, 1):
        follow_density(net, curve - moved(), 0.5, batch)
        assert net.density_curve[:, POINTS // 2].abs().max() < 1e-6  # threshold 0 keeps a half
    mean = torch.stack(curves).mean(0)
    torch.testing.assert_close(net.density_curve + moved(), mean, rtol=0, atol=1e-5)
    follow_density(net, net.density_curve + 1, 0.5, batches=10_000)
    torch.testing.assert_close(net.density_curve + moved(), mean + 0.01, rtol=0, atol=1e-5)
