"""Checks of the options before anything starts: one small function per thing that goes wrong.

Each takes the options as the file gives them and whether they are for training, and raises
`OptionError` with the key, what was expected, what came and what to do. They run in order: a
later one may rely on what an earlier one made sure of. Keys that belong to one model alone are
that model's to check.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_file
from smsr_plugin.training.errors import MISSING, suggestion, wrong
from smsr_plugin.training.options.file import Options
from smsr_plugin.training.options.keys import check_arguments, check_keys
from smsr_plugin.training.options.limits import check_amounts, check_backends, check_file_names
from smsr_plugin.training.options.names import check_network_arguments, check_types, network_scale

#: What BasicSR makes of `path`: a key that holds none of these becomes a folder of that name.
PATH_KEYS = ("pretrain_network", "param_key", "strict_load", "resume")
KNOWN_PATH_KEYS = (
    "pretrain_network_g",
    "param_key_g",
    "strict_load_g",
    "resume_state",
    "ignore_resume_networks",
)


def check_options(opt: Options, is_train: bool) -> None:
    """Raise OptionError at the first thing in `opt` that cannot work on this machine."""
    for check in CHECKS:
        check(opt, is_train)


def check_sections(opt: Options, is_train: bool) -> None:
    """The sections that the pipeline reads are there, and are sections."""
    required = {"datasets", "network_g", "path"} | ({"train", "logger"} if is_train else {"val"})
    optional = {"val"} | {key for key in opt if key.startswith("network_")}
    for name in sorted(required | optional):
        section = opt.get(name)
        if not isinstance(section, dict) and (name in required or section is not None):
            purpose = "training" if is_train else "testing"
            advice = f"{purpose} needs its keys, indented below `{name}:`"
            raise wrong(name, "a section", opt.get(name, MISSING), advice)


def check_name(opt: Options, is_train: bool) -> None:
    """The name is one folder below experiments/ or results/."""
    name = opt.get("name", MISSING)
    if not isinstance(name, str) or not name.strip(". ") or set(name) & set("/\\\0\r\n"):
        folder = "experiments" if is_train else "results"
        advice = "use letters, digits, `-` and `_`, and quote it if it looks like a number"
        raise wrong("name", f"the name of a folder below {folder}/", name, advice)


def check_num_gpu(opt: Options, is_train: bool) -> None:
    """No more CUDA devices are asked for than there are."""
    value = opt.get("num_gpu", MISSING)
    if value == "auto":
        return
    if not is_whole(value, at_least=0):
        raise wrong("num_gpu", "a whole number or `auto`", value, "write `num_gpu: 0` for the CPU")
    available = torch.cuda.device_count()
    if value > available:
        advice = "write `num_gpu: auto`" if available else "write `num_gpu: 0` to run on the CPU"
        raise wrong("num_gpu", f"at most {available}, the CUDA devices found", value, advice)


def check_seed(opt: Options, is_train: bool) -> None:
    """The seed is one that all generators take."""
    seed = opt.get("manual_seed")
    if seed is not None and (not is_whole(seed, at_least=0) or seed >= 2**31):
        advice = "without one it is 0"
        raise wrong("manual_seed", "a whole number from 0 to 2147483647", seed, advice)


def check_phases(opt: Options, is_train: bool) -> None:
    """The data sets have names and phases that the pipeline knows."""
    datasets = opt["datasets"]
    needed, others = ("train", "`val`, `val_2`, …") if is_train else ("test", "`test_2`, `val`, …")
    for phase, dataset in datasets.items():
        if phase != needed and phase.split("_")[0] not in {"val", needed} - {"train"}:
            advice = f"rename it to `{needed}` or {others}"
            raise wrong("datasets", f"`{needed}` or {others}", phase, advice)
        if not isinstance(dataset, dict):
            advice = f"indent its keys below `{phase}:`"
            raise wrong(f"datasets.{phase}", "a section", dataset, advice)
        if not isinstance(dataset.get("name"), str):
            came = dataset.get("name", MISSING)
            raise wrong(f"datasets.{phase}.name", "text for the log", came, "name the data set")
    if not datasets or (is_train and "train" not in datasets):
        came = ", ".join(datasets) or MISSING
        raise wrong("datasets", f"a section `{needed}`", came, "say which images to use")


def check_counts(opt: Options, is_train: bool) -> None:
    """Iterations, frequencies and batch sizes are whole numbers that can be counted with."""
    if not is_train:
        return
    counts = [("train", "total_iter"), ("logger", "print_freq"), ("logger", "save_checkpoint_freq")]
    if opt.get("val") is not None:
        counts.append(("val", "val_freq"))
    for section, key in counts:
        value = opt[section].get(key, MISSING)
        # `!!float 5e3` is common in BasicSR's option files, and as good as 5000.
        if not is_whole(int(value) if _is_whole_float(value) else value, at_least=1):
            raise wrong(f"{section}.{key}", "a whole number above 0", value, "count in iterations")
    keep = opt["logger"].get("keep_checkpoints")
    if keep is not None and not is_whole(keep, at_least=1):
        advice = "it is how many of the last are kept beside the best"
        raise wrong("logger.keep_checkpoints", "a whole number above 0, or ~ for all", keep, advice)
    loader = opt["datasets"]["train"]
    for key, least in (("batch_size_per_gpu", 1), ("num_worker_per_gpu", 0)):
        value = loader.get(key, MISSING)
        if not is_whole(value, at_least=least):
            advice = "such as 16 images" if least else "0 loads the images in the main process"
            expected = f"a whole number of at least {least}"
            raise wrong(f"datasets.train.{key}", expected, value, advice)
    ratio = loader.get("dataset_enlarge_ratio", 1)
    if not is_number(ratio) or not 0 < ratio < float("inf"):
        advice = "it is how often an epoch repeats the images"
        raise wrong("datasets.train.dataset_enlarge_ratio", "a number above 0", ratio, advice)


def check_optimizer(opt: Options, is_train: bool) -> None:
    """Optimizer and scheduler are described, and the learning rate is a number."""
    if not is_train:
        return
    for key, example in (("optim_g", "Adam"), ("scheduler", "MultiStepLR")):
        section = opt["train"].get(key, MISSING)
        if not isinstance(section, dict) or not isinstance(section.get("type"), str):
            advice = f"write e.g. `type: {example}` in it"
            raise wrong(f"train.{key}", "a section with a type", section, advice)
    lr = opt["train"]["optim_g"].get("lr", MISSING)
    if not is_number(lr) or not 0 < lr < float("inf"):
        raise wrong("train.optim_g.lr", "a number above 0", lr, "write e.g. `lr: 2e-4`")


def check_switches(opt: Options, is_train: bool) -> None:
    """The switches that BasicSR reads without a default are there."""
    switches = [("val", "save_img")] if opt.get("val") is not None else []
    if is_train:
        switches.append(("logger", "use_tb_logger"))
    for section, key in switches:
        value = opt[section].get(key, MISSING)
        if not isinstance(value, bool):
            raise wrong(f"{section}.{key}", "true or false", value, f"write `{key}: false`")


def check_tensorboard(opt: Options, is_train: bool) -> None:
    """TensorBoard is installed if it is asked for."""
    if not is_train or not opt["logger"]["use_tb_logger"]:
        return
    try:
        importlib.import_module("torch.utils.tensorboard")
    except ImportError as error:
        key, advice = "logger.use_tb_logger", "`pip install tensorboard`, or write false"
        raise wrong(key, f"false without TensorBoard ({error})", True, advice) from error


def check_scale(opt: Options, is_train: bool) -> None:
    """Data sets and network agree on the scale, and patches divide by it."""
    scale, upscale = opt.get("scale"), network_scale(opt["network_g"])
    if scale is None:
        return
    if not is_whole(scale, at_least=1):
        raise wrong("scale", "a whole number above 0", scale, "such as 2, 3 or 4")
    if upscale is not None and upscale != scale:
        advice = "the data sets and the network must have the same one"
        raise wrong("network_g.upscale", f"{scale}, the `scale` of the data sets", upscale, advice)
    gt_size = opt["datasets"].get("train", {}).get("gt_size")
    if is_train and gt_size is not None and (not is_whole(gt_size, 1) or gt_size % scale):
        advice = f"lq patches are gt_size / scale pixels wide; write e.g. {48 * scale}"
        raise wrong("datasets.train.gt_size", f"a multiple of the scale {scale}", gt_size, advice)


def check_loaders(opt: Options, is_train: bool) -> None:
    """Prefetching and workers fit each other and the device."""
    for phase, dataset in opt["datasets"].items():
        key, mode = f"datasets.{phase}.prefetch_mode", dataset.get("prefetch_mode")
        if mode not in (None, "cpu", "cuda"):
            raise wrong(key, "`cpu`, `cuda` or ~", mode, "~ is the usual loader")
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
        if not any(part in key for part in PATH_KEYS):
            known = f"a key such as `resume_state`{suggestion(key, KNOWN_PATH_KEYS)}"
            raise wrong("path", known, key, "BasicSR would make a folder of its value")
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
    check_sections,
    check_name,
    check_num_gpu,
    check_seed,
    check_phases,
    check_backends,
    check_file_names,
    check_types,
    check_network_arguments,
    check_keys,
    check_arguments,
    check_counts,
    check_optimizer,
    check_switches,
    check_tensorboard,
    check_scale,
    check_amounts,
    check_loaders,
    check_files,
)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def _is_whole_float(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def _check_exists(key: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise wrong(key, "a path", value, "quote it if it looks like a number")
    if not Path(value).expanduser().exists():
        advice = f"there is no such file or folder below {Path.cwd()}"
        raise wrong(key, "an existing path", value, advice)
