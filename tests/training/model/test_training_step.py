"""One step of SMSRModel: a batch taken in parts, gradients clipped, features channels-last."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.training.model.smsr_model import SMSRModel
from smsr_plugin.training.options.train import TrainOptions

BATCH = 4


@pytest.fixture
def step():
    """Return a function that takes a step with some options and returns model and gradients."""

    def take(seed: int = 0, bad_image: int | None = None, **train) -> SimpleNamespace:
        torch.manual_seed(0)
        model = SMSRModel(copy.deepcopy(options(train)))
        generator = torch.Generator().manual_seed(1)
        lq, gt = (torch.rand(BATCH, 3, s, s, generator=generator) for s in (8, 16))
        if bad_image is not None:
            lq[bad_image] = torch.nan
        model.feed_data({"lq": lq, "gt": gt})
        before = [p.detach().clone() for p in model.net_g.parameters()]
        torch.manual_seed(seed)
        model.optimize_parameters(1)
        gradient = torch.cat([p.grad.flatten() for p in model.net_g.parameters()])
        return SimpleNamespace(model=model, gradient=gradient, log=model.log_dict, before=before)

    return take


def options(train):
    network = {"type": "SMSR", "num_feat": 8, "num_layer": 2, "num_block": 2, "upscale": 2}
    return {
        "num_gpu": 0,
        "is_train": True,
        "dist": False,
        "network_g": network,
        "path": {"pretrain_network_g": None},
        "datasets": {"train": {"batch_size_per_gpu": BATCH}},
        "logger": {},
        "train": {
            "optim_g": {"type": "Adam", "lr": 1e-3},
            "scheduler": {"type": "MultiStepLR", "milestones": [100]},
            "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
            "sparsity_opt": {"type": "SparsityLoss", "loss_weight": 0.1},
            "iters_per_epoch": 1,
            "sparsity_warmup_epochs": 0,
            **train,
        },
    }


def far(a, b):
    """Return how far gradient `a` is from `b`, in units of `b`."""
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize(("precision", "tolerance"), [(None, 1e-5), ("bf16", 1e-2)])
def test_a_batch_in_parts_gives_the_gradient_of_the_batch(step, precision, tolerance):
    whole = step(autocast=precision)
    assert far(step(autocast=precision, seed=5).gradient, whole.gradient) > 3 * tolerance
    for parts in (2, 3, 4):  # in 3 parts the first has two images
        cut = step(autocast=precision, accumulate=parts)
        assert far(cut.gradient, whole.gradient) < tolerance
        assert cut.log == pytest.approx(whole.log, rel=tolerance)


def test_one_image_at_a_time_is_in_memory(step):
    sizes = []

    class Spy(SMSR):
        def forward(self, x, *args, **kwargs):
            sizes.append(len(x))
            return super().forward(x, *args, **kwargs)

    model = step(accumulate=4).model
    model.net_g.__class__ = Spy
    model.optimize_parameters(2)
    assert sizes == [1, 1, 1, 1]


@pytest.mark.parametrize("bad_image", [0, 3])
def test_no_step_is_taken_if_one_part_is_not_finite(step, bad_image):
    taken = step(accumulate=4, skip_nonfinite=1, bad_image=bad_image, ema_decay=0.5)
    assert taken.model.skipped == 1
    after = list(taken.model.net_g.parameters())
    assert all(torch.equal(a, b) for a, b in zip(after, taken.before, strict=True))
    assert all(p.isfinite().all() for p in taken.model.net_g_ema.parameters())


def test_gradients_are_scaled_down_to_the_given_norm(step):
    free = step()
    norm = free.gradient.norm().item()
    assert free.log["grad_norm"] == pytest.approx(norm)
    clipped = step(grad_clip=norm / 4)
    assert clipped.gradient.norm().item() == pytest.approx(norm / 4, rel=1e-4)
    assert far(clipped.gradient * 4, free.gradient) < 1e-4
    assert clipped.log["grad_norm"] == pytest.approx(norm)
    assert torch.equal(step(grad_clip=norm * 4).gradient, free.gradient)


def test_in_parts_it_is_the_whole_batchs_gradient_that_is_clipped(step):
    norm = step().gradient.norm().item()
    both = step(grad_clip=norm / 4, accumulate=2)
    assert both.gradient.norm().item() == pytest.approx(norm / 4, rel=1e-4)


@pytest.mark.parametrize(("chosen", "expected"), [(None, True), (True, True), (False, False)])
def test_features_are_channels_last_on_the_cpu_unless_told_otherwise(step, chosen, expected):
    model = step(channels_last=chosen).model
    seen = {}

    def look(name, value):
        seen[name] = value.is_contiguous(memory_format=torch.channels_last)

    for name, module in model.net_g.named_modules():
        if name == "head" or name.endswith("attention"):
            module.register_forward_hook(lambda m, i, out, name=name: look(name, out))
    model.optimize_parameters(2)
    assert seen == dict.fromkeys(["head", "blocks.0.attention", "blocks.1.attention"], expected)
    # What is saved, and what processes send one another, has one layout either way: a broadcast of
    # gloo from a channels-last tensor to a contiguous one permutes values, without a word.
    weights = list(model.net_g.parameters())
    sent = [*weights, *model.net_g.buffers(), *(weight.grad for weight in weights)]
    sent += [value for state in model.optimizer_g.state.values() for value in state.values()]
    assert len(sent) > 4 * len(weights)
    assert all(tensor.is_contiguous() for tensor in sent)


def test_elsewhere_channels_last_has_to_be_asked_for():
    assert TrainOptions(1).memory_format("cuda") == torch.contiguous_format
    assert TrainOptions(1, channels_last=True).memory_format("cuda") == torch.channels_last


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"accumulate": 5}, r"accumulate must be at most 4, the batch_size_per_gpu .* got 5"),
        (
            {"accumulate": 2, "pixel_opt": {"type": "L1Loss", "reduction": "sum"}},
            "accumulate needs a pixel_opt with reduction: mean, got sum",
        ),
    ],
)
def test_batches_that_cannot_be_cut_are_refused(step, train, message):
    with pytest.raises(ValueError, match=message):
        step(**train)
