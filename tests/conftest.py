from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of reference data and weights that SMSR_TEST_DATA names."""
    folder = os.environ.get("SMSR_TEST_DATA")
    if not folder:
        pytest.skip("SMSR_TEST_DATA is not set: the reference data and weights are not here")
    return Path(folder)
