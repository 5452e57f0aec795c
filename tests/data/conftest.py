"""What the tests of preparation share."""

from __future__ import annotations

from pathlib import Path

import pytest
from prepared_data import TRAIN, VALID


@pytest.fixture
def root(tmp_path, make_images) -> Path:
    """Return a root with the official HR folders."""
    make_images(tmp_path / "DIV2K_train_HR", TRAIN)
    make_images(tmp_path / "DIV2K_valid_HR", VALID)
    return tmp_path
