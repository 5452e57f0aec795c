"""Keys in the options that nothing would read: a mistyped key must not be silently ignored."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from dataclasses import fields
from typing import Any

import torch
from basicsr.models import lr_scheduler
from basicsr.utils.registry import LOSS_REGISTRY

from smsr_plugin.training.errors import suggestion, wrong
from smsr_plugin.training.options.file import Options
from smsr_plugin.training.options.train import TrainOptions

_TOP = "name model_type scale num_gpu manual_seed datasets path train val logger dist_params"
_DATASET = """name type dataroot_gt dataroot_lq io_backend meta_info_file filename_tmpl mean std
    color gt_size use_hflip use_rot use_shuffle num_worker_per_gpu batch_size_per_gpu prefetch_mode
    num_prefetch_queue dataset_enlarge_ratio pin_memory persistent_workers detail_draws"""
_TRAIN = "ema_decay optim_g scheduler total_iter warmup_iter pixel_opt perceptual_opt"
_VAL = "val_freq save_img suffix pbar metrics converter"
_LOGGER = "print_freq save_checkpoint_freq keep_checkpoints use_tb_logger wandb"

#: Of these, all keys are known; other models and data sets may read what they like.
_MODELS = ("SRModel", "SMSRModel")
_DATASETS = ("PairedImageDataset", "CheckedPairedImageDataset", "SingleImageDataset")


def check_keys(opt: Options, is_train: bool) -> None:
    """Every key of the sections that BasicSR and this package read is one that they know.

    Raises:
        OptionError: At the first one that is not, with the nearest that is.
    """
    for section, keys, known in _sections(opt):
        for key, value in keys.items():
            if key not in known:
                expected = f"a known key{suggestion(key, sorted(known))}"
                name = f"{section}.{key}".lstrip(".")
                raise wrong(name, expected, value, "nothing reads it: remove or correct it")


def check_arguments(opt: Options, is_train: bool) -> None:
    """Every key of a loss, of the optimizer and of the scheduler is an argument of it.

    Raises:
        OptionError: At the first one that is not, with the nearest that is.
    """
    for name, keys in (opt.get("train") or {}).items():
        if not isinstance(keys, dict) or "type" not in keys:
            continue
        target = _target(name, keys["type"])
        if target is None:
            continue
        parameters = inspect.signature(target).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            continue
        known = [key for key in parameters if key not in ("params", "optimizer", "last_epoch")]
        for key, value in keys.items():
            if key not in ("type", *known):
                expected = f"an option of {keys['type']}{suggestion(key, known)}"
                raise wrong(f"train.{name}.{key}", expected, value, f"known: {', '.join(known)}")


def _target(section: str, kind: str) -> Any:
    """Return the class that BasicSR hands a section of `train` to, None if it is not known."""
    if section.endswith("_opt"):
        return LOSS_REGISTRY.get(kind)
    if section == "scheduler":
        kind = "MultiStepRestartLR" if kind == "MultiStepLR" else kind  # as BasicSR takes it
        return getattr(lr_scheduler, kind, None)
    return getattr(torch.optim, kind, None) if section.startswith("optim_") else None


def _sections(opt: Options) -> Iterator[tuple[str, dict[str, Any], Collection[str]]]:
    for phase, keys in opt["datasets"].items():
        if keys.get("type") in _DATASETS:
            yield f"datasets.{phase}", keys, _DATASET.split()
    if opt["model_type"] not in _MODELS:
        return
    own = opt["model_type"] == "SMSRModel"
    networks = [key for key in opt if key.startswith("network_")]
    yield "", opt, {*_TOP.split(), *networks, "find_unused_parameters"}
    smsr = (
        {
            "sparsity_opt",
            "detail_opt",
            "teacher_opt",
            *(field.name for field in fields(TrainOptions)),
        }
        if own
        else set()
    )
    for section, known in (
        ("train", {*_TRAIN.split(), *smsr}),
        ("val", _VAL.split()),
        ("logger", {*_LOGGER.split(), *(["tb_masks"] if own else [])}),
    ):
        yield section, opt.get(section) or {}, known
