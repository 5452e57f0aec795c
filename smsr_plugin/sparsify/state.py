"""Where a fine-tuning stands, in a file beside the result, so that the same command goes on."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from smsr_plugin.checkpoints.files import read_file
from smsr_plugin.sparsify.finetune import Finetuning
from smsr_plugin.staging import replace_file

#: Put after the result's name.
SUFFIX = ".state"
#: Seconds between two states: what a killed run loses at most.
INTERVAL = 60.0
#: What is raised where a file holds something else; a CheckpointError is a ValueError.
UNFIT = (LookupError, TypeError, ValueError, RuntimeError, AttributeError)


class StateError(ValueError):
    """A state cannot be gone on from: one line that says why and what to do."""


class State:
    """The file.

    Args:
        out: Of the result.
        facts: What must be the same for the result to be, by name.
    """

    def __init__(self, out: Path, facts: Mapping[str, str]) -> None:
        self.path = out.with_name(out.name + SUFFIX)
        self.facts = dict(facts)
        self._saved = -INTERVAL

    def exists(self) -> bool:
        """Tell whether a run was interrupted."""
        return self.path.exists()

    def restore(self, training: Finetuning) -> None:
        """Let a training go on from the file.

        Raises:
            StateError: If it is no state, or that of another run.
        """
        try:
            root = cast(Any, read_file(self.path).root)
            facts = root["facts"]
            other = [name for name, fact in self.facts.items() if facts[name] != fact]
            if not other:
                training.load_state_dict(root["training"])
                return
        except UNFIT as error:
            raise StateError(
                f"{self.path}: no state of an interrupted run that can be read; delete it to begin "
                f"anew ({error})"
            ) from error
        raise StateError(
            f"{self.path}: an interrupted run of another {', '.join(other)}; give what that run "
            "was given to go on with it, or delete the file to begin anew"
        )

    def keep(self, training: Finetuning) -> None:
        """Write where a training stands, if the last time is long enough ago."""
        if time.monotonic() - self._saved < INTERVAL:
            return
        content = io.BytesIO()
        torch.save({"facts": self.facts, "training": training.state_dict()}, content)
        replace_file(self.path, content.getvalue())
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Remove the file: the result is there."""
        with suppress(FileNotFoundError):
            self.path.unlink()


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return what tells tensors from others."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()
