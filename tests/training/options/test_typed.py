"""Every key of an option file has a type: what does not fit is refused with its path."""

from __future__ import annotations

from typing import Annotated

import pytest
from option_files import REMOVED, evaluation_options, train_options, validation
from torch import nn

from smsr_plugin.training.options import names
from smsr_plugin.training.options.checks import check_options
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.names import register_dataset, register_model
from smsr_plugin.training.options.typed import known_keys
from smsr_plugin.training.options.values import Section, Whole, about
from smsr_plugin.training.registration import register_all

# isort: split
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

SMSR = {"model_type": "SMSRModel", "train:iters_per_epoch": 1}


@pytest.fixture(autouse=True)
def _registered():
    register_all()


def checked(pairs, changes=()):
    return check_options(train_options(pairs, {**validation(pairs), **dict(changes)}), True)


def error_of(pairs, changes) -> str:
    with pytest.raises(OptionError) as caught:
        checked(pairs, changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val:metrics:psnr:test_y_chanel": True}, "psnr.test_y_chanel: expected an option of"),
        ({"val:metrics:psnr:test_y_chanel": True}, "(did you mean test_y_channel?)"),
        ({"val:metrics:psnr:test_y_channel": "false"}, "test_y_channel: expected true or false"),
        ({"val:metrics:psnr:crop_border": "2"}, "psnr.crop_border: expected a whole number from 0"),
        ({"val:metrics:psnr:crop_border": -1}, "psnr.crop_border: expected a whole number from 0"),
        ({"val:metrics:psnr:crop_border": 2**40}, "psnr.crop_border: expected at most 1,000"),
        ({"val:metrics:psnr:crop_border": REMOVED}, "got nothing; calculate_psnr has no default"),
        ({"val:metrics:psnr:input_order": "CHW"}, "psnr.input_order: expected `HWC`"),
        ({"val:metrics:psnr:better": "more"}, "psnr.better: expected `higher` or `lower`"),
        ({"val:converter": {"type": "to_sparse", "treshold": 2}}, "val.converter.treshold"),
        ({"val:converter": {"type": "to_sparse", "threshold": "2"}}, "threshold: expected a numb"),
        ({"val:pbar": "no"}, "val.pbar: expected true or false, got 'no'"),
        ({"logger:wandb": {"project": 1}}, "logger.wandb.project: expected text or ~, got 1"),
        ({"logger:wandb": {"projekt": "x"}}, "(did you mean project?)"),
        ({"logger:wandb": "x"}, "logger.wandb: expected a section, got 'x'"),
        ({"datasets:train:use_hflip": "yes"}, "train.use_hflip: expected true or false"),
        ({"datasets:train:use_rot": REMOVED}, "train.use_rot: expected true or false, got nothi"),
        ({"datasets:train:io_backend": REMOVED}, "train.io_backend: expected a section with type"),
        ({"datasets:train:color": "rgb"}, "train.color: expected `y` or ~, got 'rgb'"),
        ({"datasets:train:mean": [0.5, float("inf")]}, "train.mean: expected a list"),
        ({"datasets:train:num_prefetch_queue": 0}, "num_prefetch_queue: expected a whole number"),
        ({"datasets:train:detail_draws": 2}, "train.detail_draws: expected a known key"),
        ({"train:warmup_iter": "soon"}, "train.warmup_iter: expected a whole number of at least"),
        ({"train:ema_decay": 1}, "train.ema_decay: expected a number of at least 0 and below 1"),
        ({"train:ema_decay": 999}, "train.ema_decay: expected a number of at least 0 and below"),
        ({"train:ema_decay": float("nan")}, "train.ema_decay: expected a number"),
        ({"train:optim_g:lrr": 1}, "train.optim_g.lrr: expected an option of Adam (did you mean l"),
        ({"train:optim_g:lr": REMOVED}, "train.optim_g.lr: expected a value (a number above 0)"),
        ({"train:optim_g:lr": float("inf")}, "train.optim_g.lr: expected a number above 0, got"),
        ({"train:optim_g:betas": [0.9]}, "train.optim_g.betas: expected a list of 2, each a numb"),
        ({"train:optim_g:weight_decay": -1}, "weight_decay: expected a number of at least 0"),
        ({"train:optim_g:amsgrad": 1}, "train.optim_g.amsgrad: expected true or false"),
        ({"train:optim_g:type": "Lion"}, "train.optim_g.type: expected the name of an optimizer"),
        ({"train:scheduler:type": "CosineLR"}, "(did you mean CosineAnnealingLR?)"),
        ({"train:scheduler:type": "LambdaLR"}, "train.scheduler.type: expected the name of a s"),
        ({"train:scheduler:milestones": 6}, "scheduler.milestones: expected a list, each a whole"),
        ({"train:scheduler:gamma": 0}, "train.scheduler.gamma: expected a number above 0"),
        ({"train:pixel_opt:loss_weight": -1}, "pixel_opt.loss_weight: expected a number of at l"),
        ({"train:pixel_opt:reduction": "avg"}, "pixel_opt.reduction: expected `mean` or `sum`"),
        ({"train:pixel_opt": None}, "train.pixel_opt: expected a loss, got None"),
        ({"train:gan_opt": {"type": "GANLoss"}}, "train.gan_opt.gan_type: expected a value"),
        ({"train:gan_opt": {"type": "L1Loss"}}, "train.gan_opt: expected a known key"),
        ({"train:masks": {}}, "train.masks: expected a known key"),  # SMSRModel's
        ({"path:strict_load_g": "yes"}, "path.strict_load_g: expected true or false"),
        ({"path:param_key_g": 1}, "path.param_key_g: expected text or ~"),
        ({"path:ignore_resume_networks": "g"}, "ignore_resume_networks: expected a list, each te"),
        ({"path:models": "x"}, "path.models: expected a known key"),  # BasicSR would make a folder
        ({"dist_params": {"backend": "mpi"}}, "dist_params.backend: expected `gloo` or `nccl`"),
        ({"find_unused_parameters": 1}, "find_unused_parameters: expected true or false"),
        ({"network_g:num_feat": "4"}, "network_g.num_feat: expected a number, got '4'"),
        ({"network_g": {"type": "SMSR", "upscale": 2, "num_feat": 4.5}}, "expected a whole number"),
        ({**SMSR, "train:tau_min": 2}, "train.tau_min: expected at most 1, got 2; the lowest"),
        ({**SMSR, "train:accumulate": 0}, "train.accumulate: expected a whole number above 0"),
        ({**SMSR, "logger:tb_masks": -1}, "logger.tb_masks: expected a whole number of at least"),
        ({"model_type": "SMSRModel"}, "train.iters_per_epoch is missing"),
    ],
)
def test_wrong_keys_and_values_are_refused(pairs, changes, message):
    assert message in error_of(pairs, changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train:scheduler": {"type": "CosineAnnealingRestartLR", "periods": [5, 10]}},
            "restart_weights: expected 2, one for each of `periods`, got [1]",
        ),
        (
            {"train:scheduler": {"type": "CosineAnnealingRestartLR", "periods": [18]}},
            "scheduler.periods: expected iterations that add up to total_iter, 20, got '[18], toge",
        ),
        (
            {"train:scheduler": {"type": "MultiStepLR", "milestones": [1], "restarts": [0, 9]}},
            "restart_weights: expected 2, one for each of `restarts`, got [1]",
        ),
        ({"datasets:train:color": "y"}, "train.color: expected ~ for a network with num_in_ch 3"),
        (
            {"network_g:num_in_ch": 1, "network_g:num_out_ch": 1},
            "train.color: expected `y` for a network with num_in_ch 1, got None",
        ),
        (
            {"datasets:val:mean": [0.5], "datasets:val:std": [1]},
            "val.mean: expected 3, one for each",
        ),
        ({"datasets:val:mean": [0.5, 0.5, 0.5]}, "val.std: expected a value for each channel"),
        ({"logger:wandb": {"project": "x"}}, "use_tb_logger: expected true with logger.wandb.pr"),
        (
            {
                "datasets:val": {"name": "x", "type": "SingleImageDataset", "dataroot_lq": "."}
                | {"io_backend": {"type": "disk"}}
            },
            "val.metrics.psnr.type: expected no metric that needs gt for x, got 'calculate_psnr'",
        ),
        ({"model_type": "SwinIRModel"}, "network_g.window_size: expected a whole number above 0"),
    ],
)
def test_what_does_not_go_together_is_refused(pairs, changes, message):
    assert message in error_of(pairs, changes)


def test_two_validation_sets_of_one_name_are_refused(pairs):
    second = validation(pairs)["datasets:val"]
    message = "datasets.val_2.name: expected another name than that of datasets.val, got 'pairs'"
    assert message in error_of(pairs, {"datasets:val_2": second})
    checked(pairs, {"datasets:val_2": {**second, "name": "others"}})


def test_values_become_what_they_mean(pairs, monkeypatch):
    monkeypatch.setenv("HOME", str(pairs))
    changes = {
        "train:total_iter": 20.0,
        "val:val_freq": 5e3,
        "datasets:train:dataroot_gt": "~/gt",
        "datasets:val:meta_info_file": "~/gt/0.png",
        "path:pretrain_network_g": "~/gt/0.png",
    }
    opt = checked(pairs, changes)
    assert (opt["train"]["total_iter"], opt["val"]["val_freq"]) == (20, 5000)
    assert all(isinstance(n, int) for n in (opt["train"]["total_iter"], opt["val"]["val_freq"]))
    assert opt["datasets"]["train"]["dataroot_gt"] == str(pairs / "gt")
    assert opt["datasets"]["val"]["meta_info_file"] == str(pairs / "gt/0.png")
    assert opt["path"]["pretrain_network_g"] == str(pairs / "gt/0.png")


def test_options_are_not_changed_and_keep_their_order(pairs):
    options = train_options(pairs, validation(pairs))
    options["val"] = {"val_freq": 5e3, "save_img": False, "suffix": None, "pbar": True}
    opt = check_options(options, True)
    assert list(opt) == list(options)
    assert list(opt["val"]) == ["val_freq", "save_img", "suffix", "pbar"]
    assert options["val"]["val_freq"] == 5e3
    assert not isinstance(options["val"]["val_freq"], int)


def test_what_basicsr_reads_without_a_default_gets_it(pairs):
    options = evaluation_options(pairs, pairs, {"val:suffix": REMOVED})
    assert check_options(options, False)["val"]["suffix"] is None


def test_a_test_reads_neither_train_nor_logger(pairs):
    changes = {"train": {"total_iter": "?"}, "logger": {"x": 1}}
    check_options(evaluation_options(pairs, pairs, changes), False)


@pytest.mark.parametrize(
    "changes",
    [
        {"train:optim_g": {"type": "AdamW", "lr": 1e-3, "betas": [0.9, 0.99], "fused": None}},
        {"train:optim_g": {"type": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True}},
        {"train:scheduler": {"type": "CosineAnnealingLR", "T_max": 20}},
        {"train:scheduler": {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 20}},
        {"train:scheduler": {"type": "MultiStepRestartLR", "milestones": []}},
        {"train:scheduler": {"type": "CosineAnnealingRestartLR", "periods": [19]}},
        {"network_g": {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "upscale": 2}
         | {"res_scale": 0.1, "rgb_mean": [0.4488, 0.4371, 0.404]}},
        {"logger:wandb": {"project": None, "resume_id": None}},
        {"dist_params": {"backend": "nccl", "port": 29500}},
        {"model_type": "SRGANModel", "train:net_d_iters": 1, "train:ldl_opt": None,
         "train:optim_d": {"type": "Adam", "lr": 1e-4}, "train:gan_opt": None},
    ],
)  # fmt: skip
def test_what_basicsr_or_torch_can_do_passes(pairs, changes):
    checked(pairs, changes)


class _Train(Section):
    """Keys of a model that is not this package's."""

    my_weight: Annotated[Whole, about("A weight.")] = 1


class _Data(Section):
    """Keys of such a data set."""

    my_noise: Annotated[Whole, about("Of noise.")]


@pytest.fixture
def others(monkeypatch):
    """Register a model, a data set, a network and a metric, as another plugin does."""

    class OtherModel:
        pass

    class OtherData:
        pass

    class OtherNet(nn.Module):
        def __init__(self, width: int, *, deep: bool = False, **more) -> None:
            super().__init__()

    def other_metric(img, img2, strength=1.0, **kwargs): ...

    things = (OtherModel, OtherData, OtherNet, other_metric)
    registries = (MODEL_REGISTRY, DATASET_REGISTRY, ARCH_REGISTRY, METRIC_REGISTRY)
    for registry, thing in zip(registries, things, strict=True):
        monkeypatch.setitem(registry._obj_map, thing.__name__, thing)
    monkeypatch.setattr(names, "_MODELS", names.models())
    monkeypatch.setattr(names, "_DATASETS", names.datasets())


def test_keys_of_models_and_data_sets_that_are_not_told_pass(pairs, others):
    changes = {"model_type": "OtherModel", "train:my_weight": "x", "val:my_key": 1, "mine": 2}
    checked(pairs, changes)
    assert "train.total_iter" in error_of(pairs, {**changes, "train:total_iter": 0})
    data = {"datasets:train:type": "OtherData", "datasets:train:my_noise": "x"}
    checked(pairs, data)
    assert "batch_size" in error_of(pairs, {**data, "datasets:train:batch_size_per_gpu": 0})


def test_keys_that_a_plugin_tells_are_checked(pairs, others):
    register_model("OtherModel", train=_Train)
    register_dataset("OtherData", training=_Data)
    model = {"model_type": "OtherModel"}
    checked(pairs, {**model, "train:my_weight": 3})
    assert "train.my_weight: expected" in error_of(pairs, {**model, "train:my_weight": "x"})
    assert "(did you mean my_weight?)" in error_of(pairs, {**model, "train:my_wait": 1})
    data = {
        "name": "x", "type": "OtherData", "my_noise": 1,
        "num_worker_per_gpu": 0, "batch_size_per_gpu": 1,
    }  # fmt: skip
    checked(pairs, {"datasets:train": data})
    assert "train.my_noise" in error_of(pairs, {"datasets:train": {**data, "my_noise": -1}})
    assert "(did you mean my_noise?)" in error_of(pairs, {"datasets:train": {**data, "my_nose": 1}})


def test_arguments_of_what_a_plugin_registers_are_known(pairs, others):
    net = {"type": "OtherNet", "width": 2, "whatever": 1}  # which **kwargs may read
    checked(pairs, {"network_g": net})
    assert "network_g.deep: expected true" in error_of(pairs, {"network_g": {**net, "deep": 1}})
    metric = {"val:metrics": {"mine": {"type": "other_metric", "whatever": 1}}}
    checked(pairs, metric)
    metric["val:metrics"]["mine"]["strength"] = "x"
    assert "mine.strength: expected a number" in error_of(pairs, metric)


def test_known_keys_of_a_section(pairs):
    opt = train_options(pairs, SMSR)
    assert "tau_min" in known_keys(opt, ["train"])
    assert "tau_min" not in known_keys({**opt, "model_type": "SRModel"}, ["train"])
    assert "milestones" in known_keys(opt, ["train", "scheduler"])
    assert "density" in known_keys(opt, ["train", "masks"])
    assert "gt_size" in known_keys(opt, ["datasets", "train"])
    assert "val_2" in known_keys(opt, ["datasets"])
    assert "valid" not in known_keys(opt, ["datasets"])
    assert "test_y_channel" in known_keys(
        {"val": {"metrics": {"p": {"type": "calculate_psnr"}}}}, ["val", "metrics", "p"]
    )
    assert "x" not in known_keys(opt, ["name"])
