"""Small images to prepare, and what became of them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import lmdb
import numpy as np
from PIL import Image

from smsr_plugin.data.entries import Grid
from smsr_plugin.data.lmdb_store import find_fault
from smsr_plugin.data.outputs import State
from smsr_plugin.data.prepare import Prepared, Request

GRID = Grid(crop_size=24, step=12)
TRAIN = {"0001.png": (50, 38), "0002.png": (24, 24)}
VALID = {"0801.png": (29, 31), "0802.png": (40, 24)}


def small_request(root: Path, **options) -> Request:
    return Request(**{"root": root, "scales": (2, 3), "grid": GRID, "progress": False, **options})


def states(prepared: Prepared) -> dict[str, State]:
    return {output.path.name: state for output, state in prepared.outputs}


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def read_lmdb(folder: Path) -> dict[str, np.ndarray]:
    assert find_fault(folder) is None
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as txn:
        return {bytes(k).decode(): np.array(Image.open(BytesIO(v))) for k, v in txn.cursor()}


def snapshot(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}
