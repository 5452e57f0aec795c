"""What an option file names is built and called once before anything starts."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from commands import train
from option_files import evaluation_options, train_options, validation, write_options

from smsr_plugin.training.options import trial
from smsr_plugin.training.options.checks import check_options
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.trial import try_metric, try_out
from smsr_plugin.training.registration import register_all

# isort: split
from basicsr.metrics import calculate_metric
from basicsr.models import lr_scheduler

SMSR = {
    "model_type": "SMSRModel",
    "network_g": {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2},
    "train:sparsity_opt": {"type": "SparsityLoss"},
    "train:iters_per_epoch": 1,
}


@pytest.fixture(autouse=True)
def _registered():
    register_all()


def tried(pairs, changes=(), is_train=True):
    options = train_options(pairs, {**validation(pairs), **dict(changes)})
    try_out(check_options(options, is_train), is_train)


def error_of(pairs, changes) -> str:
    with pytest.raises(OptionError) as caught:
        tried(pairs, changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        SMSR,
        {**SMSR, "val:converter": {"type": "to_sparse", "precision": "bf16"}},
        {"train:optim_g": {"type": "AdamW", "lr": 1e-3}},
        {"train:optim_g": {"type": "RMSprop", "lr": 1e-3, "momentum": 0.9}},
        {"train:scheduler": {"type": "CosineAnnealingLR", "T_max": 20, "eta_min": 1e-7}},
        {"train:scheduler": {"type": "OneCycleLR", "max_lr": 1e-3, "total_steps": 20}},
        {"train:total_iter": 1},
        {"network_g": {"type": "ECBSR", "num_in_ch": 1, "num_out_ch": 1, "num_block": 1}
         | {"num_channel": 4, "with_idt": False, "act_type": "prelu", "scale": 2},
         "datasets:train:color": "y", "datasets:val:color": "y"},
        {"model_type": "SwinIRModel", "network_g": {"type": "SwinIR", "window_size": 7}
         | {"depths": [1], "num_heads": [1], "embed_dim": 4, "upscale": 2,
            "upsampler": "pixelshuffledirect"}},
        {"val:metrics:niqe": {"type": "calculate_niqe", "crop_border": 4, "better": "lower"}},
    ],
)  # fmt: skip
def test_what_works_passes(pairs, changes):
    tried(pairs, changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network_g:num_feat": 2.5}, "network_g: "),
        ({"network_g": {"type": "SMSR", "num_feat": 0, "upscale": 2}}, "network_g: SMSR: num_feat"),
        ({"network_g:num_out_ch": 1}, "network_g: output with shape [1, 1, 64, 64] doesn't match"),
        (
            {
                "network_g": {"type": "SRVGGNetCompact", "num_feat": 4, "upscale": 2, "num_conv": 1}
                | {"num_out_ch": 12, "num_in_ch": 3}
            },
            "network_g: ",
        ),
        (
            {
                "network_g": {
                    "type": "RIDNet",
                    "in_channels": 3,
                    "mid_channels": 64,
                    "out_channels": 3,
                }
            },
            "network_g: expected 1×3×64×64 from an lq image of 1×3×32×32, got 1×3×32×32; its chan",
        ),
        ({"train:optim_g:betas": [1.5, 0.9]}, "train.optim_g: Invalid beta parameter at index 0"),
        ({"train:optim_g": {"type": "LBFGS", "lr": 1}}, "train.optim_g: LBFGS.step() missing 1 "),
        ({"train:optim_g": {"type": "SparseAdam", "lr": 1}}, "train.optim_g: SparseAdam does not"),
        (
            {"train:scheduler": {"type": "OneCycleLR", "max_lr": 1e-3, "total_steps": 10}},
            "train.scheduler: Tried to step 19 times. The specified number of total steps is 10",
        ),
        ({"train:scheduler": {"type": "CosineAnnealingLR", "T_max": 0}}, "train.scheduler: "),
        (
            {"train:perceptual_opt": {"type": "PerceptualLoss", "layer_weights": {"conv9_9": 1}}},
            "train.perceptual_opt: ",
        ),
        (
            {**SMSR, "val:converter": {"type": "to_sparse", "precision": "fp8"}},
            "val.converter: prec",
        ),
        ({"val:converter": {"type": "to_sparse"}}, "val.converter: to_sparse converts a network"),
        ({"val:metrics:psnr:type": "calculate_psnr_pt"}, "val.metrics.psnr: "),
        (
            {"val:metrics:niqe": {"type": "calculate_niqe", "crop_border": 0, "convert_to": "x"}},
            "val.metrics.niqe: ",
        ),
    ],
)
def test_what_fails_is_one_line_with_its_section(pairs, changes, message):
    assert message in error_of(pairs, changes)


@pytest.mark.filterwarnings("ignore:Detected call of")
def test_the_last_learning_rate_is_asked_for(pairs):
    """As BasicSR asks: iteration n comes after n - 1 steps."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], 1e-3)
    optimizer.step()  # as the scheduler wants it
    scheduler = lr_scheduler.CosineAnnealingRestartLR(optimizer, [4], [1])
    for _ in range(4):
        scheduler.step()
    with pytest.raises(TypeError):
        scheduler.step()
    # So 5 iterations work with a period of 4, and 6 do not.
    for total_iter, works in ((5, True), (6, False)):
        optimizer.param_groups[0]["lr"] = 1e-3
        fresh = lr_scheduler.CosineAnnealingRestartLR(optimizer, [4], [1])
        optimizer.step()
        if works:
            trial._try_scheduler(fresh, total_iter)
        else:
            with pytest.raises(TypeError):
                trial._try_scheduler(fresh, total_iter)


def test_random_numbers_go_on_as_before(pairs):
    states = torch.get_rng_state(), random.getstate()
    tried(pairs, SMSR)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_a_metric_that_is_no_number_is_refused():
    keys = {"type": "calculate_psnr", "crop_border": 100}
    message = r"m: expected a number, got 'nan for images of 96×80 \(height×width\)'; crop_border"
    with pytest.raises(OptionError, match=message):
        try_metric("m", keys, (96, 80))
    try_metric("m", keys, (201, 201))


def test_a_test_tries_network_converter_and_metrics(pairs):
    changes = {"val:metrics:psnr:type": "calculate_psnr_pt"}
    options = check_options(evaluation_options(pairs, pairs, changes), False)
    with pytest.raises(OptionError, match=r"val\.metrics\.psnr: "):
        try_out(options, False)


def test_nothing_is_written_before_the_trial(tmp_path, pairs, capsys):
    options = train_options(pairs, {"train:optim_g:betas": [2, 2]})
    file = write_options(tmp_path / "x.yml", options)
    assert train(["-opt", str(file), "--root", str(tmp_path)]) == 2
    assert "train.optim_g: Invalid beta" in capsys.readouterr().err
    assert not (tmp_path / "experiments").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"train:optim_g": {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.1}},
        {"train:scheduler": {"type": "CosineAnnealingLR", "T_max": 6, "eta_min": 1e-5}},
    ],
)
def test_optimizers_and_schedulers_of_torch_train(run_training, experiment, changes):
    """The log's learning rates are those of torch, stepped as BasicSR does."""
    assert run_training({**changes, "train:total_iter": 6}) == 0
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], 1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6, 1e-5)
    expected = dict.fromkeys(range(1, 7), 1e-3)
    if "train:scheduler" in changes:
        for iteration in expected:
            expected[iteration] = optimizer.param_groups[0]["lr"]
            optimizer.step()
            scheduler.step()
    assert experiment.learning_rates == pytest.approx(expected, rel=1e-3)


def test_metrics_are_called_as_basicsr_calls_them():
    images = {
        name: np.full((8, 8, 3), value, np.uint8) for name, value in (("img", 9), ("img2", 4))
    }
    keys = {"type": "calculate_psnr", "crop_border": 0, "better": "higher"}
    assert calculate_metric(images, keys) == pytest.approx(10 * np.log10(255**2 / 25))
