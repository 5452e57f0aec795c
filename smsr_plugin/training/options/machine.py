"""Checks of options against the machine: its devices and memory, what is installed, the files."""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_file
from smsr_plugin.machine import available_bytes
from smsr_plugin.training.options.errors import MISSING, wrong
from smsr_plugin.training.options.names import required
from smsr_plugin.training.options.values import Options


def check_num_gpu(opt: Options, is_train: bool) -> None:
    """No more CUDA devices are asked for than there are."""
    value, available = opt["num_gpu"], torch.cuda.device_count()
    if value != "auto" and value > available:
        advice = "write `num_gpu: auto`" if available else "write `num_gpu: 0` to run on the CPU"
        raise wrong("num_gpu", f"at most {available}, the CUDA devices found", value, advice)


def check_networks(opt: Options, is_train: bool) -> None:
    """Networks fit into memory, and read nothing by themselves but weights."""
    for section, keys in opt.items():
        if section.startswith("network_") and keys is not None:
            options = {key: value for key, value in keys.items() if key != "type"}
            network = required("network", keys["type"])
            check_network(section, network, options)


def check_loggers(opt: Options, is_train: bool) -> None:
    """What is asked for of TensorBoard and Weights & Biases, which follows it, is installed."""
    if not is_train:
        return
    logger, key = opt["logger"], "logger.use_tb_logger"
    wandb: Options = logger.get("wandb") or {}
    project = wandb.get("project")
    if not logger["use_tb_logger"]:
        if project is not None:
            raise wrong(
                key, "true with logger.wandb.project", False, "it logs what TensorBoard does"
            )
        return
    if project is not None and importlib.util.find_spec("wandb") is None:
        advice = "`pip install wandb`, or write `project: ~`"
        raise wrong("logger.wandb.project", "~ where wandb is not installed", project, advice)
    try:
        importlib.import_module("torch.utils.tensorboard")
    except ImportError as error:
        advice = "`pip install tensorboard`, or write false"
        raise wrong(key, f"false without TensorBoard ({error})", True, advice) from error


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
            check_weight_file(f"path.{key}", value)
    from basicsr.archs.vgg_arch import VGG_PRETRAIN_PATH  # read by BasicSR's perceptual loss

    train: Options = opt.get("train") or {}
    for key, keys in train.items():
        if not key.endswith("_opt") or keys is None:
            continue
        if keys["type"] == "PerceptualLoss" and Path(VGG_PRETRAIN_PATH).exists():
            check_weight_file(f"train.{key}.type", VGG_PRETRAIN_PATH)


def _check_exists(key: str, value: object) -> None:
    # Of a name that is too long Path's own method raises an error.
    if value is not None and not os.path.exists(str(value)):  # noqa: PTH110
        advice = f"there is no such file or folder below {Path.cwd()}"
        raise wrong(key, "an existing path", value, advice)


#: Of channels, blocks, layers; what is beyond takes minutes to build, let alone to run.
MAX_OPTION = 10_000
#: BasicSR's networks and losses read files of weights by themselves while they are built, and
#: unpickle them without a look at what is in them; here that look comes first.
BASICSR = "basicsr"
#: How arguments end that name such a file: `spynet_path`, `edvr_path`, `dict_path`.
SUFFIX = "path"


def check_network(
    section: str, network: Callable[..., nn.Module], options: Mapping[str, Any]
) -> None:
    """Refuse a network that is too large, or of BasicSR's that would read a file of no weights.

    Args:
        section: How errors call it.
        network: Its class.
        options: Its arguments.

    Raises:
        OptionError: If it has more than `MAX_OPTION` of anything, or no memory for its weights; if
            the file is not there, or is none of tensors alone.
    """
    if network.__module__.partition(".")[0] == BASICSR:  # what others' arguments mean is not known
        for key, value in options.items():
            if key.endswith(SUFFIX) and isinstance(value, str):
                check_weight_file(f"{section}.{key}", value)
    for key, value in options.items():
        values = cast(Sequence[Any], value) if isinstance(value, list | tuple) else [value]
        if any(isinstance(part, int | float) and abs(part) > MAX_OPTION for part in values):
            expected = f"numbers up to {MAX_OPTION:,}"
            raise wrong(
                f"{section}.{key}", expected, cast(object, value), "no network has more of anything"
            )
    needed, available = _weight_bytes(network, options), available_bytes()
    if needed > available:
        expected = f"a network whose weights fit into the {available / 1e9:.1f} GB of free memory"
        raise wrong(section, expected, f"{needed / 1e9:.1f} GB", "make it smaller")


def _weight_bytes(network: Callable[..., nn.Module], options: Mapping[str, Any]) -> int:
    """Return what the weights take, 0 if only building the network in earnest can tell."""
    try:
        with torch.device("meta"), warnings.catch_warnings():  # sizes without memory
            warnings.simplefilter("ignore")
            net = network(**options)
    except Exception:  # whatever a constructor does; what is wrong with its options is said later
        return 0
    return sum(t.numel() * t.element_size() for t in chain(net.parameters(), net.buffers()))


def check_weight_file(key: str, value: object) -> None:
    """Read a file as weights, without running what is in it.

    Raises:
        OptionError: If it cannot be read, or is no file of weights; it names the key.
    """
    try:
        read_file(Path(str(value)))
    except CheckpointError as error:
        expected = f"a file of weights (it {error})"
        raise wrong(key, expected, value, "name another file") from error
