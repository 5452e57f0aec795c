"""Networks and training states on disk: whole, checked, paired, and as many as asked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smsr_plugin.staging import replace_file
from smsr_plugin.training.errors import RunError
from smsr_plugin.training.options.file import Options
from smsr_plugin.training.run.validation_history import ValidationHistory

#: In a training state: the SHA-256 of each network's file that belongs to it, by file name.
NETWORKS_KEY = "networks"
#: In a training state: the `manual_seed` of the run.
SEED_KEY = "manual_seed"
#: In a training state: how many images one iteration took, in all processes.
BATCH_KEY = "batch_size"

_NETWORK_FILE = re.compile(r"net_.+_(\d+)\.pth")


class Saver:
    """Takes the place of `save_network` and `save_training_state` of one BasicSR model.

    A state is written after its networks and names them by checksum: where there is a state that
    fits its networks, the pair is whole. Where writing fails, the run ends and the last pair
    stays.

    Args:
        model: A BasicSR model that was just built.
        start_iter: The iteration of the pair that the run resumed from, 0 for none.
        history: Tells which iterations were best.
    """

    def __init__(self, model: Any, start_iter: int, history: ValidationHistory) -> None:
        self.model, self.history = model, history
        opt: Options = model.opt
        self.is_writer, self.seed = opt["rank"] == 0, opt["manual_seed"]
        self.models = Path(opt["path"]["models"])
        self.states = Path(opt["path"]["training_states"])
        self.keep: int | None = opt["logger"].get("keep_checkpoints")
        self.last_iter = start_iter
        self._checksums: dict[str, str] = {}
        model.save_network, model.save_training_state = self.save_network, self.save_training_state

    def save_network(
        self,
        net: nn.Module | Sequence[nn.Module],
        net_label: str,
        current_iter: int,
        param_key: str | Sequence[str] = "params",
    ) -> None:
        """Save networks into one file, as BasicSR's method of this name does.

        Raises:
            RunError: If it cannot be written, or the weights are not finite.
        """
        if not self.is_writer:
            return
        nets = [net] if isinstance(net, nn.Module) else list(net)
        keys = [param_key] if isinstance(param_key, str) else list(param_key)
        content = {
            key: _state_dict(self.model.get_bare_model(part))
            for key, part in zip(keys, nets, strict=True)
        }
        name = f"{net_label}_{'latest' if current_iter == -1 else current_iter}.pth"
        for key, tensors in content.items():
            if not all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point()):
                raise RunError(
                    f"{name} is not saved, because {key} holds NaN or infinite weights; "
                    f"{self.last_usable()}"
                )
        self._checksums[name] = self._write(self.models / name, content)

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        """Save what goes with the networks of `current_iter`; −1, the end, needs no state.

        Raises:
            RunError: If it cannot be written.
        """
        if current_iter == -1:
            return
        if self.is_writer:
            self._write_state(epoch, current_iter)
        self.last_iter = current_iter

    def _write_state(self, epoch: int, current_iter: int) -> None:
        state = {
            "epoch": epoch,
            "iter": current_iter,
            "optimizers": [optimizer.state_dict() for optimizer in self.model.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.model.schedulers],
            NETWORKS_KEY: self._checksums,
            SEED_KEY: self.seed,
            BATCH_KEY: batch_size(self.model.opt),
        }
        self._write(self.states / f"{current_iter}.state", state)
        self._checksums = {}
        if self.keep is not None:
            self._prune(self.keep, current_iter)

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


def batch_size(opt: Options) -> int:
    """Return how many images one iteration of a training takes, in all processes."""
    loaders = opt["world_size"] if opt["dist"] else max(opt["num_gpu"], 1)
    return opt["datasets"]["train"]["batch_size_per_gpu"] * loaders


def _state_dict(net: nn.Module) -> dict[str, Tensor]:
    # The prefix is DataParallel's.
    return {key.removeprefix("module."): t.cpu() for key, t in net.state_dict().items()}
