from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of reference data and weights that SMSR_TEST_DATA names."""
    folder = os.environ.get("SMSR_TEST_DATA")
    if not folder:
        pytest.skip("SMSR_TEST_DATA is not set: the reference data and weights are not here")
    return Path(folder)


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Networks of a few features only get slower with more threads; real ones keep them."""
    threads = torch.get_num_threads()
    if "reference" not in request.keywords:
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
