"""What the type of one key cannot say: what concerns two keys, the machine, or the files there.

Each check takes options of the right types and whether they are for training, and raises
`OptionError` with the key, what was expected, what came and what to do. They run in order: a later
one may rely on what an earlier one made sure of.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_file
from smsr_plugin.training.errors import MISSING, wrong
from smsr_plugin.training.network_size import check_network_size
from smsr_plugin.training.options.extensions import IMAGE_SETS, image_channels, models
from smsr_plugin.training.options.file import Options
from smsr_plugin.training.options.names import (
    IN_CHANNEL_OPTIONS,
    UPSCALE_OPTIONS,
    network_option,
    required,
)
from smsr_plugin.training.options.schedulers import check_scheduler
from smsr_plugin.training.options.train import TrainOptions
from smsr_plugin.training.options.typed import typed
from smsr_plugin.training.options.values import is_section


def check_options(opt: Mapping[str, Any], is_train: bool) -> Options:
    """Return the options, each of the type of its key (see `typed`).

    Raises:
        OptionError: At the first thing in them that cannot work on this machine.
    """
    check_sections(opt, is_train)
    check_phases(opt, is_train)
    checked = typed(opt, is_train)
    for check in CHECKS:
        check(checked, is_train)
    return checked


def check_sections(opt: Mapping[str, Any], is_train: bool) -> None:
    """The sections that the pipeline reads are there, and are sections."""
    for name in ("datasets", "network_g", "path", *(("train", "logger") if is_train else ("val",))):
        if not is_section(opt.get(name)):
            purpose = "training" if is_train else "testing"
            advice = f"{purpose} needs its keys, indented below `{name}:`"
            raise wrong(name, "a section", opt.get(name, MISSING), advice)


def check_phases(opt: Mapping[str, Any], is_train: bool) -> None:
    """The data sets have phases that the pipeline knows."""
    datasets = opt["datasets"]
    needed, others = ("train", "`val`, `val_2`, …") if is_train else ("test", "`test_2`, `val`, …")
    for phase in datasets:
        if phase != needed and phase.split("_")[0] not in {"val", needed} - {"train"}:
            advice = f"rename it to `{needed}` or {others}"
            raise wrong("datasets", f"`{needed}` or {others}", phase, advice)
    if not datasets or (is_train and "train" not in datasets):
        came = ", ".join(datasets) or MISSING
        raise wrong("datasets", f"a section `{needed}`", came, "say which images to use")


def check_names(opt: Options, is_train: bool) -> None:
    """No two data sets have their results in one folder."""
    seen: dict[str, str] = {}
    for phase, dataset in opt["datasets"].items():
        if phase == "train":  # it has no results
            continue
        other = seen.setdefault(dataset["name"].casefold(), phase)
        if other != phase:
            expected = f"another name than that of datasets.{other}"
            advice = "their results would overwrite each other"
            raise wrong(f"datasets.{phase}.name", expected, dataset["name"], advice)


def check_num_gpu(opt: Options, is_train: bool) -> None:
    """No more CUDA devices are asked for than there are."""
    value, available = opt["num_gpu"], torch.cuda.device_count()
    if value != "auto" and value > available:
        advice = "write `num_gpu: auto`" if available else "write `num_gpu: 0` to run on the CPU"
        raise wrong("num_gpu", f"at most {available}, the CUDA devices found", value, advice)


def check_networks(opt: Options, is_train: bool) -> None:
    """Networks fit into memory."""
    for section, keys in opt.items():
        if section.startswith("network_") and keys is not None:
            options = {key: value for key, value in keys.items() if key != "type"}
            check_network_size(section, required("network", keys["type"]), options)


def check_tensorboard(opt: Options, is_train: bool) -> None:
    """TensorBoard is installed if it is asked for, and on if Weights & Biases follows it."""
    if not is_train:
        return
    logger, key = opt["logger"], "logger.use_tb_logger"
    if not logger["use_tb_logger"]:
        wandb: Options = logger.get("wandb") or {}
        if wandb.get("project") is not None:
            raise wrong(
                key, "true with logger.wandb.project", False, "it logs what TensorBoard does"
            )
        return
    try:
        importlib.import_module("torch.utils.tensorboard")
    except ImportError as error:
        advice = "`pip install tensorboard`, or write false"
        raise wrong(key, f"false without TensorBoard ({error})", True, advice) from error


def check_scale(opt: Options, is_train: bool) -> None:
    """Data sets and network agree on the scale, and patches divide by it."""
    scale, (name, upscale) = opt.get("scale"), network_option(opt["network_g"], UPSCALE_OPTIONS)
    if scale is None:
        return
    if upscale is not None and upscale != scale:
        advice = "the data sets and the network must have the same one"
        raise wrong(f"network_g.{name}", f"{scale}, the `scale` of the data sets", upscale, advice)
    gt_size = opt["datasets"].get("train", {}).get("gt_size")
    if is_train and isinstance(gt_size, int) and gt_size % scale:
        advice = f"lq patches are gt_size / scale pixels wide; write e.g. {48 * scale}"
        raise wrong("datasets.train.gt_size", f"a multiple of the scale {scale}", gt_size, advice)


def check_channels(opt: Options, is_train: bool) -> None:
    """The network takes as many channels as the images of the data sets have."""
    name, channels = network_option(opt["network_g"], IN_CHANNEL_OPTIONS)
    for phase, dataset in _image_sets(opt):
        key, color = f"datasets.{phase}.color", dataset.get("color")
        if channels not in (None, image_channels(dataset)):
            fitting = {1: "`y`", 3: "~"}.get(channels, "a data set")
            expected = f"{fitting} for a network with {name} {channels}"
            advice = f"or write network_g.{name}: {image_channels(dataset)}"
            raise wrong(key, expected, color, advice)
        if (dataset.get("mean") is None) != (dataset.get("std") is None):
            absent = "mean" if dataset.get("mean") is None else "std"
            key, advice = f"datasets.{phase}.{absent}", "mean and std go together"
            raise wrong(key, "a value for each channel", dataset.get(absent, MISSING), advice)


def check_losses(opt: Options, is_train: bool) -> None:
    """There is a loss."""
    train: Options = opt.get("train") or {}
    losses = [train.get(key) for key in ("pixel_opt", "perceptual_opt")]
    needed = opt["model_type"] in ("SRModel", "SwinIRModel", "SMSRModel")
    if is_train and needed and losses == [None, None]:
        came = train.get("pixel_opt", MISSING)
        raise wrong("train.pixel_opt", "a loss", came, "e.g. {type: L1Loss}")
    if is_train and opt["model_type"] == "SMSRModel":
        TrainOptions.from_train_section(train)
    if opt["model_type"] == "SwinIRModel" and "window_size" not in opt["network_g"]:
        advice = "SwinIRModel pads images to a multiple of it"
        raise wrong("network_g.window_size", "a whole number above 0", MISSING, advice)


def check_schedules(opt: Options, is_train: bool) -> None:
    """The learning rate is known for every iteration."""
    if is_train:
        check_scheduler(opt["train"]["scheduler"], opt["train"]["total_iter"])


def check_loaders(opt: Options, is_train: bool) -> None:
    """Prefetching and workers fit each other and the device."""
    for phase, dataset in opt["datasets"].items():
        key, mode = f"datasets.{phase}.prefetch_mode", dataset.get("prefetch_mode")
        if mode == "cuda" and (opt["num_gpu"] == 0 or not torch.cuda.is_available()):
            raise wrong(key, "`cpu` or ~ when running on the CPU", mode, "write `prefetch_mode: ~`")
        if mode == "cuda" and dataset.get("pin_memory") is not True:
            came = dataset.get("pin_memory", MISSING)
            advice = "prefetch_mode cuda copies from pinned memory"
            raise wrong(f"datasets.{phase}.pin_memory", "true", came, advice)
        workers = dataset.get("num_worker_per_gpu", 0) if phase == "train" else 0
        if dataset.get("persistent_workers") and not workers:
            advice = "there are no workers to keep: remove it"
            raise wrong(f"datasets.{phase}.persistent_workers", "false", True, advice)


def check_files(opt: Options, is_train: bool) -> None:
    """The folders and files that the options name exist."""
    for phase, dataset in opt["datasets"].items():
        for key, value in dataset.items():
            if key.startswith("dataroot") or key == "meta_info_file":
                _check_exists(f"datasets.{phase}.{key}", value)
            if key == "meta_info_file" and value is not None and not Path(value).is_file():
                raise wrong(f"datasets.{phase}.{key}", "a file", value, "it lists the images")
    for key, value in opt["path"].items():
        if key.startswith("pretrain_network"):
            _check_exists(f"path.{key}", value)
    if not is_train and opt["path"].get("pretrain_network_g") is None:
        advice = "without it the network that is tested has random weights"
        raise wrong("path.pretrain_network_g", "a file of weights", MISSING, advice)


def check_weights(opt: Options) -> None:
    """The files of weights can be read, without running what is in them.

    Not one of `CHECKS`, which read no file. BasicSR stops at a damaged one with a traceback.
    """
    for key, value in opt["path"].items():
        if key.startswith("pretrain_network") and value is not None:
            try:
                read_file(Path(value))
            except CheckpointError as error:
                expected, advice = f"a file of weights (it {error})", "name another file"
                raise wrong(f"path.{key}", expected, value, advice) from error


CHECKS = (
    check_num_gpu,
    check_names,
    check_losses,
    check_tensorboard,
    check_scale,
    check_channels,
    check_networks,
    check_schedules,
    check_loaders,
    check_files,
)


def _image_sets(opt: Options) -> Iterator[tuple[str, Options]]:
    """Yield the data sets of single images, if the model is one that takes those."""
    model = models().get(opt["model_type"])
    for phase, dataset in opt["datasets"].items():
        if model is not None and model.images and dataset["type"] in IMAGE_SETS:
            yield phase, dataset


def _check_exists(key: str, value: object) -> None:
    if value is not None and not Path(str(value)).exists():
        advice = f"there is no such file or folder below {Path.cwd()}"
        raise wrong(key, "an existing path", value, advice)
