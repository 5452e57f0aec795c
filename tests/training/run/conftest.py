from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import train
from option_files import train_options, write_options
from several_processes import SMSR
from training_process import Ending, together


@pytest.fixture
def run_together(tmp_path: Path, pairs: Path) -> Callable[..., list[Ending]]:
    """Return a function that trains or resumes SMSR in some processes, 2 images in each."""

    def run(
        world_size: int,
        changes: Mapping[str, Any] | None = None,
        *faults: Callable[[], None],
        at_rank: Mapping[int, Callable[[], None]] | None = None,
    ) -> list[Ending]:
        options = train_options(pairs, {**SMSR, **(changes or {})})
        file = write_options(tmp_path / "tiny.yml", options)
        arguments = ["train", "-opt", str(file), "--root", str(tmp_path), "--auto_resume"]
        return together(world_size, tmp_path, arguments, *faults, at_rank=at_rank)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, pairs: Path) -> Callable[[int], Path]:
    """Return a function that gives the root of a training of so many iterations; change no file."""

    @functools.cache
    def train_to(total_iter: int) -> Path:
        root = tmp_path_factory.mktemp("trained")
        file = write_options(
            root / "tiny.yml", train_options(pairs, {"train:total_iter": total_iter})
        )
        assert train(["-opt", str(file), "--root", str(root)]) == 0
        return root

    return train_to


@pytest.fixture
def at_10(trained: Callable[[int], Path], tmp_path: Path) -> None:
    """Leave a training that stopped after 10 of 20 iterations, with states of 5 and 10."""
    shutil.copytree(trained(10), tmp_path, dirs_exist_ok=True)


@pytest.fixture
def at_20(trained: Callable[[int], Path], tmp_path: Path) -> None:
    """Leave a training that has done its 20 iterations, with states of 5, 10, 15 and 20."""
    shutil.copytree(trained(20), tmp_path, dirs_exist_ok=True)
