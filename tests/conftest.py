from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from forked_code import Interpreter
from hypothesis import HealthCheck, settings
from PIL import Image

# The same examples in each run, however long one takes on a busy machine.
settings.register_profile(
    "seeded", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("seeded")

# Networks of a few features only get slower with more threads than one; real ones have those that
# processes that share the tests leave them. Fixtures of a module have one too: sums of two threads
# are others on some processors, and what a fixture made is compared with what a test makes.
THREADS = max(1, torch.get_num_threads() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)))
torch.set_num_threads(1)

MakeImages = Callable[[Path, Mapping[str, tuple[int, int]]], Path]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of reference data and weights that SMSR_TEST_DATA names."""
    folder = os.environ.get("SMSR_TEST_DATA")
    if not folder:
        pytest.skip("SMSR_TEST_DATA is not set: the reference data and weights are not here")
    return Path(folder)


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    torch.set_num_threads(THREADS if "reference" in request.keywords else 1)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    """Return what runs code as in a new interpreter that has imported torch and torchvision."""
    interpreter = Interpreter()
    yield interpreter
    interpreter.close()


@pytest.fixture(scope="session")
def make_images() -> MakeImages:
    """Return a function that fills a folder with RGB images, given (height, width) by name."""

    def make(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for seed, (name, size) in enumerate(sizes.items()):
            pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name)
        return folder

    return make
