"""Tiny image folders and BasicSR option files that train within a second on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

#: As the new value in `changes`: remove the key.
REMOVED = object()


def write_pairs(folder: Path, count: int, lq_size: int = 8, scale: int = 2, seed: int = 0) -> Path:
    """Write `count` pairs of random RGB images, folder/gt/0.png … and folder/lq/0.png …."""
    rng = np.random.default_rng(seed)
    for role, size in (("gt", lq_size * scale), ("lq", lq_size)):
        (folder / role).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            assert cv2.imwrite(str(folder / role / f"{index}.png"), image)
    return folder


def train_options(pairs: Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return options that train a 4-feature MSRResNet with SRModel, without validation.

    20 iterations of batch 4, a state every 5, the learning rate halved after 8 and 16.

    Args:
        pairs: A folder made by `write_pairs`, at scale 2.
        changes: New values by key, sections joined by `:` as in `--force_yml`
            (`{"train:total_iter": 30, "val": {…}}`); missing sections are made, and the value
            `REMOVED` removes a key.
    """
    options = {
        "name": "tiny",
        "model_type": "SRModel",
        "scale": 2,
        "num_gpu": 0,
        "manual_seed": 0,
        "datasets": {"train": {"name": "pairs", **_dataset(pairs), **_TRAIN_LOADER}},
        "network_g": dict(_NETWORK),
        "path": {"pretrain_network_g": None, "resume_state": None},
        "train": {
            "ema_decay": 0,
            "optim_g": {"type": "Adam", "lr": 0.001},
            "scheduler": {"type": "MultiStepLR", "milestones": [8, 16], "gamma": 0.5},
            "total_iter": 20,
            "warmup_iter": -1,
            "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
        },
        "logger": {"print_freq": 1, "save_checkpoint_freq": 5, "use_tb_logger": False},
    }
    return changed(options, changes)


def evaluation_options(
    pairs: Path, weights: Path, changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return options that test the network of `train_options` with `weights` on `pairs`.

    Images are saved and PSNR is measured; `changes` as in `train_options`.
    """
    options = {
        "name": "tiny",
        "model_type": "SRModel",
        "scale": 2,
        "num_gpu": 0,
        "manual_seed": 0,
        "datasets": {"test": {"name": "pairs", **_dataset(pairs)}},
        "network_g": dict(_NETWORK),
        "path": {"pretrain_network_g": str(weights)},
        "val": {"save_img": True, "suffix": None, "metrics": {"psnr": dict(_PSNR)}},
    }
    return changed(options, changes)


def validation(pairs: Path) -> dict[str, Any]:
    """Return changes for `train_options` that add a validation of PSNR every 10 iterations."""
    return {
        "datasets:val": {"name": "pairs", **_dataset(pairs)},
        "val": {"val_freq": 10, "save_img": False, "metrics": {"psnr": dict(_PSNR)}},
    }


def write_options(path: Path, options: Mapping[str, Any]) -> Path:
    """Write an option file and return its path."""
    path.write_text(yaml.safe_dump(dict(options), sort_keys=False), encoding="utf-8")
    return path


def changed(options: dict[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Apply `changes` (see `train_options`) to `options` in place and return them."""
    for keys, value in (changes or {}).items():
        *sections, last = keys.split(":")
        section = options
        for key in sections:
            section = section.setdefault(key, {})
        if value is REMOVED:
            del section[last]
        else:
            section[last] = value
    return options


_NETWORK = {
    "type": "MSRResNet",
    "num_in_ch": 3,
    "num_out_ch": 3,
    "num_feat": 4,
    "num_block": 1,
    "upscale": 2,
}
_PSNR = {"type": "calculate_psnr", "crop_border": 2, "test_y_channel": False}
_TRAIN_LOADER = {
    "gt_size": 8,
    "use_hflip": True,
    "use_rot": True,
    "num_worker_per_gpu": 0,
    "batch_size_per_gpu": 4,
    "dataset_enlarge_ratio": 1,
    "prefetch_mode": None,
}


def _dataset(pairs: Path) -> dict[str, Any]:
    return {
        "type": "PairedImageDataset",
        "dataroot_gt": str(pairs / "gt"),
        "dataroot_lq": str(pairs / "lq"),
        "io_backend": {"type": "disk"},
    }


def training_error(pairs, changes) -> str:
    """Return the one line with which the options of a training are refused."""
    from smsr_plugin.training.options.checks import check_options  # with BasicSR
    from smsr_plugin.training.options.errors import OptionError

    options = train_options(pairs, {**validation(pairs), **changes})
    with pytest.raises(OptionError) as caught:
        check_options(options, is_train=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)
