"""What the tests of data sets share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from paired_data import SCALE

from smsr_plugin.data.entries import Grid
from smsr_plugin.data.prepare import Request, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, make_images) -> Path:
    """Return a root with prepared pairs for training and validation, as LMDBs and folders."""
    root = tmp_path_factory.mktemp("prepared")
    make_images(root / "DIV2K_train_HR", {"a.png": (40, 36), "b.png": (24, 26)})
    make_images(root / "DIV2K_valid_HR", {"c.png": (29, 31), "d.png": (24, 24)})
    prepare(Request(root, scales=(SCALE,), grid=Grid(24, 12), folders=True, progress=False))
    return root


@pytest.fixture
def root(tmp_path, prepared) -> Path:
    """Return a copy of the prepared root, which may be changed."""
    return shutil.copytree(prepared, tmp_path / "root")
