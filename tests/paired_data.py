"""Options of small prepared pairs, their samples, and changes to their files."""

from __future__ import annotations

import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import lmdb
import torch
from PIL import Image

SCALE = 2
GT_SIZE = 16


def options(gt: Path, lq: Path, phase: str = "train", **more) -> dict[str, Any]:
    return {
        "name": "tiny",
        "phase": phase,
        "scale": SCALE,
        "dataroot_gt": str(gt),
        "dataroot_lq": str(lq),
        "io_backend": {"type": "lmdb" if gt.suffix == ".lmdb" else "disk"},
        "gt_size": GT_SIZE,
        "use_hflip": True,
        "use_rot": True,
        **more,
    }


def train_lmdb(root: Path, **more) -> dict[str, Any]:
    gt, lq = root / "DIV2K_train_HR_sub.lmdb", root / "DIV2K_train_LR_bicubic_X2_sub.lmdb"
    return options(gt, lq, **more)


def train_folder(root: Path, **more) -> dict[str, Any]:
    gt, lq = root / "DIV2K_train_HR_sub", root / "DIV2K_train_LR_bicubic" / "X2_sub"
    return options(gt, lq, **more)


def valid_lmdb(root: Path, **more) -> dict[str, Any]:
    gt, lq = root / "DIV2K_valid_HR.lmdb", root / "DIV2K_valid_LR_bicubic_X2.lmdb"
    return options(gt, lq, phase="val", **more)


def samples(dataset: torch.utils.data.Dataset, indices: range) -> list[dict[str, Any]]:
    random.seed(0)
    return [dataset[index] for index in indices]


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one["lq"], other["lq"])
        assert torch.equal(one["gt"], other["gt"])


def replace_entry(folder: Path, key: str, change: Callable[[bytes], bytes | None]) -> None:
    """Change an image in an LMDB or a folder; None removes it."""
    if folder.suffix == ".lmdb":
        with lmdb.open(str(folder), lock=False) as env, env.begin(write=True) as txn:
            content = change(txn.get(key.encode()))
            if content is None:
                txn.delete(key.encode())
            else:
                txn.put(key.encode(), content)
        return
    file = folder / f"{key}.png"
    content = change(file.read_bytes())
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


def as_png(image: Image.Image) -> Callable[[bytes], bytes]:
    stream = BytesIO()
    image.save(stream, "PNG")
    return lambda _: stream.getvalue()
