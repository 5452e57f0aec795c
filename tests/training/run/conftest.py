from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
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
