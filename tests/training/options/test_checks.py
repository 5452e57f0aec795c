from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from option_files import REMOVED, evaluation_options, train_options, training_error, validation

from smsr_plugin.training.options.checks import check_options
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.file import read_option_file
from smsr_plugin.training.registration import register_all

OPTIONS = Path(__file__).parents[3] / "smsr_plugin/training/options/templates"


@pytest.fixture(autouse=True)
def _cpu_machine(monkeypatch):
    register_all()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def evaluation_error(pairs, changes) -> str:
    weights = pairs / "gt" / "0.png"  # any file that exists
    with pytest.raises(OptionError) as caught:
        check_options(evaluation_options(pairs, weights, changes), is_train=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_options_that_work_pass(pairs):
    check_options(train_options(pairs), is_train=True)
    check_options(train_options(pairs, validation(pairs)), is_train=True)
    check_options(evaluation_options(pairs, pairs), is_train=False)


@pytest.mark.parametrize("file", sorted(OPTIONS.glob("*.yml")), ids=lambda file: file.stem)
def test_the_projects_option_files_pass_where_their_files_exist(tmp_path, file):
    options = read_option_file(file)
    for section in [*options["datasets"].values(), options["path"]]:
        for key, value in section.items():
            if value and key.startswith(("dataroot", "pretrain_network", "meta_info_file")):
                section[key] = str(tmp_path)
    check_options(options, is_train=not file.stem.startswith("test"))


@pytest.mark.parametrize(
    "changes",
    [
        {"num_gpu": "auto"},
        {"train:total_iter": 5e3, "logger:print_freq": 1e2},
        {"network_g": {"type": "SRVGGNetCompact", "num_feat": 4, "num_conv": 1, "upscale": 2}},
        {"network_g": {"type": "SRVGGNetCompact_basicsr", "num_feat": 4, "upscale": 2}},
        {"network_d": None},
        {"datasets:train:prefetch_mode": "cpu", "datasets:train:pin_memory": True},
        {"datasets:train:dataset_enlarge_ratio": 1.5},
        {"train:perceptual_opt": None},
        {"val:converter": {"type": "to_sparse"}},
    ],
)
def test_options_that_work_in_basicsr_pass(pairs, changes):
    check_options(train_options(pairs, {**validation(pairs), **changes}), is_train=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": REMOVED}, "train: expected a section, got nothing"),
        ({"logger": REMOVED}, "logger: expected a section, got nothing"),
        ({"datasets": None}, "datasets: expected a section, got None"),
        ({"path": "here"}, "path: expected a section, got 'here'"),
        ({"val": 1}, "val: expected a section, got 1"),
        ({"network_g": "SMSR"}, "network_g: expected a section, got 'SMSR'"),
        ({"name": REMOVED}, "name: expected the name of a folder"),
        ({"name": 1}, "quote it"),
        ({"name": "../other"}, "name: expected the name of a folder"),
        ({"name": ".."}, "name: expected the name of a folder"),
        ({"num_gpu": 1}, "num_gpu: expected at most 0, the CUDA devices found, got 1; "),
        ({"num_gpu": 1}, "write `num_gpu: 0`"),
        ({"num_gpu": -1}, "num_gpu: expected a whole number or `auto`, got -1"),
        ({"num_gpu": REMOVED}, "num_gpu: expected a whole number or `auto`, got nothing"),
        ({"num_gpu": True}, "num_gpu: expected a whole number"),
        ({"valid": {}}, "valid: expected a known key (did you mean val?), got {}"),
        ({"train:total_iters": 5}, "train.total_iters: expected a known key (did you mean total_i"),
        ({"train:tau_min": 1}, "train.tau_min: expected a known key"),  # SMSRModel's
        ({"val:metric": {}}, "val.metric: expected a known key (did you mean metrics?)"),
        ({"logger:keep_checkpoint": 3}, "logger.keep_checkpoint: expected a known key (did you"),
        ({"datasets:train:use_hfilp": True}, "datasets.train.use_hfilp: expected a known key (did"),
        ({"train:pixel_opt:weight": 1}, "train.pixel_opt.weight: expected an option of L1Loss"),
        ({"train:optim_g:beta": 1}, "train.optim_g.beta: expected an option of Adam (did you mean"),
        ({"train:scheduler:milestone": 1}, "(did you mean milestones?), got 1; known: milestones"),
        ({"manual_seed": -1}, "manual_seed: expected a whole number from 0 to 2147483647, got -1"),
        ({"manual_seed": 2**31}, "manual_seed: expected a whole number from 0"),
        ({"manual_seed": "none"}, "manual_seed: expected a whole number from 0"),
        ({"logger:keep_checkpoints": 0}, "logger.keep_checkpoints: expected a whole number above"),
        ({"logger:keep_checkpoints": "best"}, "logger.keep_checkpoints: expected a whole number"),
        ({"datasets:train": REMOVED}, "datasets: expected a section `train`, got 'val'"),
        ({"datasets": {}}, "datasets: expected a section `train`, got nothing"),
        ({"datasets:tran": {}}, "got 'tran'; rename it to `train`"),
        ({"datasets:train_2": {}}, "got 'train_2'; rename it to `train`"),
        ({"datasets:val": None}, "datasets.val: expected a section, got None"),
        ({"datasets:train:name": REMOVED}, "datasets.train.name: expected text"),
        ({"model_type": "SRModl"}, "model_type: expected the name of a model (did you mean SRM"),
        ({"model_type": REMOVED}, "model_type: expected the name of a model"),
        ({"network_g:type": "SMRS"}, "network_g.type: expected the name of a network (did you"),
        ({"network_g:type": "zzz"}, ", MSRResNet, "),
        ({"network_d": {}}, "network_d.type: expected the name of a network"),
        ({"datasets:val:type": "PairedDataset"}, "datasets.val.type: expected the name of a data"),
        ({"train:pixel_opt:type": "L1loss"}, "(did you mean L1Loss?), got 'L1loss'"),
        ({"train:sparsity_opt": {"type": "Sparsity"}}, "(did you mean SparsityLoss?)"),
        ({"val:metrics:psnr:type": "calculate_pnsr"}, "(did you mean calculate_psnr?)"),
        ({"val:metrics": {"psnr": 1}}, "val.metrics.psnr: expected a section with a type, got 1"),
        ({"val:converter": {"type": "sparse"}}, "(did you mean to_sparse?)"),
        ({"network_g:num_fea": 4}, "network_g.num_fea: expected an option of MSRResNet (did you"),
        ({"network_g": {"type": "EDSR", "num_in_ch": 3}}, "network_g.num_out_ch: expected a value"),
        ({"train:total_iter": 0}, "train.total_iter: expected a whole number above 0, got 0"),
        ({"train:total_iter": 2.5}, "train.total_iter: expected a whole number above 0, got 2.5"),
        ({"train:total_iter": float("nan")}, "train.total_iter: expected"),
        ({"train:total_iter": "many"}, "train.total_iter: expected"),
        ({"train:total_iter": REMOVED}, "train.total_iter: expected a whole number above 0, got n"),
        ({"val:val_freq": 0}, "val.val_freq: expected a whole number above 0, got 0"),
        ({"logger:print_freq": True}, "logger.print_freq: expected a whole number above 0"),
        ({"logger:save_checkpoint_freq": -5}, "logger.save_checkpoint_freq: expected a whole"),
        ({"datasets:train:batch_size_per_gpu": 0}, "batch_size_per_gpu: expected a whole number"),
        ({"datasets:train:batch_size_per_gpu": 4.0}, "batch_size_per_gpu: expected a whole number"),
        ({"datasets:train:num_worker_per_gpu": REMOVED}, "num_worker_per_gpu: expected a whole"),
        ({"datasets:train:dataset_enlarge_ratio": 0}, "dataset_enlarge_ratio: expected a number"),
        ({"train:optim_g": REMOVED}, "train.optim_g: expected a section with a type"),
        ({"train:scheduler:type": REMOVED}, "train.scheduler: expected a section with a type"),
        ({"train:optim_g:lr": "fast"}, "train.optim_g.lr: expected a number above 0, got 'fast'"),
        ({"logger:use_tb_logger": REMOVED}, "logger.use_tb_logger: expected true or false"),
        ({"val:save_img": REMOVED}, "val.save_img: expected true or false, got nothing"),
        ({"scale": 4}, "network_g.upscale: expected 4, the `scale` of the data sets, got 2"),
        ({"scale": 2, "network_g:upscale": REMOVED}, "the `scale` of the data sets, got 4"),
        ({"scale": "2"}, "scale: expected a whole number above 0, got '2'"),
        ({"datasets:train:gt_size": 9}, "gt_size: expected a multiple of the scale 2, got 9"),
        ({"datasets:train:prefetch_mode": "gpu"}, "prefetch_mode: expected `cpu`, `cuda` or ~"),
        ({"datasets:train:prefetch_mode": "cuda"}, "prefetch_mode: expected `cpu` or ~ when run"),
        ({"datasets:train:persistent_workers": True}, "train.persistent_workers: expected false"),
        ({"datasets:val:persistent_workers": True}, "val.persistent_workers: expected false"),
        ({"datasets:train:dataroot_gt": "/no/gt"}, "datasets.train.dataroot_gt: expected an exist"),
        ({"datasets:train:dataroot_gt": 300 * "x"}, "dataroot_gt: expected an existing path, got"),
        ({"datasets:val:dataroot_lq": 5}, "datasets.val.dataroot_lq: expected a path, got 5"),
        ({"datasets:val:meta_info_file": "no.txt"}, "meta_info_file: expected an existing path"),
        ({"path:pretrain_network_g": "no.pth"}, "path.pretrain_network_g: expected an existing"),
        ({"path:pretrained_network_g": None}, "(did you mean pretrain_network_g?)"),
    ],
)
def test_what_cannot_train_is_one_clear_line(pairs, changes, message):
    assert message in training_error(pairs, changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val": REMOVED}, "val: expected a section, got nothing; testing needs its keys"),
        ({"path:pretrain_network_g": None}, "path.pretrain_network_g: expected a file of weights"),
        ({"datasets": {}}, "datasets: expected a section `test`, got nothing"),
        ({"datasets:train": {}}, "got 'train'; rename it to `test`"),
        ({"val:save_img": 1}, "val.save_img: expected true or false, got 1"),
    ],
)
def test_what_cannot_be_tested_is_one_clear_line(pairs, changes, message):
    assert message in evaluation_error(pairs, changes)


def test_more_devices_than_there_are(pairs, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_options(train_options(pairs, {"num_gpu": 2}), is_train=True)
    error = training_error(pairs, {"num_gpu": 3})
    assert "num_gpu: expected at most 2, the CUDA devices found, got 3" in error


def test_prefetching_to_cuda_needs_pinned_memory(pairs, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    changes = {"num_gpu": 1, "datasets:train:prefetch_mode": "cuda"}
    error = training_error(pairs, changes)
    assert "datasets.train.pin_memory: expected true, got nothing" in error
    changes["datasets:train:pin_memory"] = True
    check_options(train_options(pairs, changes), is_train=True)
    changes["num_gpu"] = 0
    assert "datasets.train.prefetch_mode" in training_error(pairs, changes)


def test_paths_may_start_at_home(pairs, monkeypatch):
    monkeypatch.setenv("HOME", str(pairs))
    check_options(train_options(pairs, {"datasets:train:dataroot_gt": "~/gt"}), is_train=True)


def test_tensorboard_that_is_asked_for_and_not_installed(pairs, monkeypatch):
    changes = {"logger:use_tb_logger": True}
    check_options(train_options(pairs, changes), is_train=True)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    error = training_error(pairs, changes)
    assert error.startswith("logger.use_tb_logger: expected false without TensorBoard (")
    assert error.endswith("got True; `pip install tensorboard`, or write false")
    check_options(train_options(pairs), is_train=True)
