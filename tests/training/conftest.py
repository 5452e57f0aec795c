from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import train
from option_files import train_options, write_options, write_pairs

import smsr_plugin.training  # noqa: F401  BasicSR does not import without it


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 11 image pairs; do not change it."""
    return write_pairs(tmp_path_factory.mktemp("pairs"), 11)


@dataclass(frozen=True)
class Experiment:
    """What a training left in its folder."""

    folder: Path

    @property
    def states(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("training_states/*.state"))

    @property
    def log(self) -> str:
        """The newest log."""
        logs = self.folder.glob("train_*.log")
        return max(logs, key=lambda path: path.stat().st_mtime_ns).read_text()

    @property
    def learning_rates(self) -> dict[int, float]:
        """The learning rate at each iteration that the newest log holds."""
        lines = re.findall(r"iter: *(\d+), lr:\(([^,]+),\)", self.log)
        return {int(iteration): float(lr) for iteration, lr in lines}


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """Return what `run_training` leaves behind."""
    return Experiment(tmp_path / "experiments" / "tiny")


@pytest.fixture
def run_training(tmp_path: Path, pairs: Path) -> Callable[..., int]:
    """Return a function that runs `smsr train` and returns its exit code."""

    def run(changes: Mapping[str, Any] | None = None, *arguments: str) -> int:
        option_file = write_options(tmp_path / "tiny.yml", train_options(pairs, changes))
        return train(["-opt", str(option_file), "--root", str(tmp_path), *arguments])

    return run
