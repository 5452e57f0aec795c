"""Networks and training states on disk: whole, checked, paired, and as many as asked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smsr_plugin.staging import replace_file
from smsr_plugin.training.options.errors import RunError
from smsr_plugin.training.options.values import Options
from smsr_plugin.training.run.validation_history import ValidationHistory

#: In a training state: the SHA-256 of each network's file that belongs to it, by file name.
NETWORKS_KEY = "networks"

_NETWORK_FILE = re.compile(r"net_.+_(\d+)\.pth")


class Saver:
    """Writes the networks and training states of a run, in its first process.

    A state is written after its networks and names them by checksum: where there is a state that
    fits its networks, the pair is whole. Where writing fails, the run ends and the last pair
    stays.

    Args:
        opt: The options of the run.
        start_iter: The iteration of the pair that the run resumed from, 0 for none.
        history: Tells which iterations were best.
    """

    def __init__(self, opt: Options, start_iter: int, history: ValidationHistory) -> None:
        self.history, self.is_writer = history, opt["rank"] == 0
        self.models = Path(opt["path"]["models"])
        self.states = Path(opt["path"]["training_states"])
        self.keep: int | None = opt["logger"].get("keep_checkpoints")
        self.last_iter = start_iter
        self._checksums: dict[str, str] = {}

    def save_networks(self, nets: Mapping[str, nn.Module], label: str, current_iter: int) -> None:
        """Save networks into one file, as BasicSR's `save_network` does.

        Args:
            nets: Without distributed wrapping, by the key that each gets in the file.
            label: The file is `LABEL_ITERATION.pth`.
            current_iter: The iteration; −1 is `latest`.

        Raises:
            RunError: If it cannot be written, or the weights are not finite.
        """
        if not self.is_writer:
            return
        content = {key: _state_dict(net) for key, net in nets.items()}
        name = f"{label}_{'latest' if current_iter == -1 else current_iter}.pth"
        for key, tensors in content.items():
            if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
                raise RunError(
                    f"{name} is not saved, because {key} holds NaN or infinite weights; "
                    f"{self.last_usable()}"
                )
        self._checksums[name] = self._write(self.models / name, content)

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Save what goes with the networks that were saved before; `iter` is the iteration.

        Raises:
            RunError: If it cannot be written.
        """
        current_iter = state["iter"]
        if self.is_writer:
            path = self.states / f"{current_iter}.state"
            self._write(path, {**state, NETWORKS_KEY: self._checksums})
            self._checksums = {}
            if self.keep is not None:
                self._prune(self.keep, current_iter)
        self.last_iter = current_iter

    def last_usable(self) -> str:
        """Say which pair a resumed run would start from."""
        if self.last_iter == 0:
            return "nothing has been saved yet"
        return f"the last good state is {self.states / f'{self.last_iter}.state'}"

    def _write(self, path: Path, content: Mapping[str, Any]) -> str:
        stream = BytesIO()
        torch.save(content, stream)
        try:
            replace_file(path, stream.getvalue())
        except OSError as error:
            raise RunError(f"cannot save {path}: {error.strerror}; {self.last_usable()}") from error
        return hashlib.sha256(stream.getbuffer()).hexdigest()

    def _prune(self, keep: int, current_iter: int) -> None:
        """Remove the pairs before the last `keep`, except the best."""
        saved = sorted(
            iteration
            for path in self.states.glob("*.state")
            if path.stem.isdecimal() and (iteration := int(path.stem)) <= current_iter
        )
        kept = {*saved[-keep:], *self.history.best(saved)}
        networks = [(m, p) for p in self.models.iterdir() if (m := _NETWORK_FILE.fullmatch(p.name))]
        for iteration in sorted(set(saved) - kept):
            # The state first: without it the networks are still usable, not the other way round.
            (self.states / f"{iteration}.state").unlink(missing_ok=True)
            for match, path in networks:
                if int(match[1]) == iteration:
                    path.unlink(missing_ok=True)


def _state_dict(net: nn.Module) -> dict[str, Tensor]:
    # The prefix is DataParallel's.
    return {key.removeprefix("module."): t.cpu() for key, t in net.state_dict().items()}
