"""Networks and training states on disk: whole, checked, paired, and as many as asked for."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from smsr_plugin.staging import replace_file
from smsr_plugin.training.options.errors import RunError
from smsr_plugin.training.options.values import Options

HISTORY_FILE = "validation.json"


class ValidationHistory:
    """Keeps the metrics by data set and iteration, in a JSON file and in `values`.

    JSON has no infinite numbers, such as the PSNR of equal images: they become the text "inf".

    Args:
        path: The file, which need not exist.
        metrics: The section `val.metrics`; `better: lower` says that less is better.
        last_iter: What was measured later is dropped: the run resumes there and measures it again.
    """

    def __init__(self, path: Path, metrics: Mapping[str, Any], last_iter: int) -> None:
        self.path, self.metrics = path, metrics
        self.values: dict[str, dict[int, dict[str, float]]] = {}
        if last_iter == 0 or not path.exists():
            return
        try:
            self.values = {
                dataset: {
                    int(i): {name: float(value) for name, value in results.items()}
                    for i, results in rows.items()
                    if int(i) <= last_iter
                }
                for dataset, rows in json.loads(path.read_text(encoding="utf-8")).items()
            }
        except (OSError, ValueError, TypeError, AttributeError) as error:
            get_root_logger().warning(f"{path} cannot be used and starts anew: {error}")

    def tell_best(self, model: Any) -> None:
        """Tell a BasicSR model that goes on the best so far."""
        for dataset, rows in self.values.items():
            model._initialize_best_metric_results(dataset)
            for iteration, results in sorted(rows.items()):
                for name in self.metrics.keys() & results.keys():
                    model._update_best_metric_result(dataset, name, results[name], iteration)

    def add(self, dataset: str, iteration: int, measured: Mapping[str, float]) -> None:
        """Add what a validation has measured, if that is one of the metrics, and write the file.

        Raises:
            RunError: If it cannot be written.
        """
        results = {name: float(measured[name]) for name in self.metrics if name in measured}
        if not results:
            return
        self.values.setdefault(dataset, {})[iteration] = results
        try:
            replace_file(self.path, self._text().encode())
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}") from error

    def _text(self) -> str:
        told = {
            dataset: {
                i: {name: v if math.isfinite(v) else str(v) for name, v in results.items()}
                for i, results in rows.items()
            }
            for dataset, rows in self.values.items()
        }
        return json.dumps(told, indent=1, allow_nan=False) + "\n"

    def best(self, iterations: Collection[int]) -> set[int]:
        """Return which of the iterations are the best, by each metric on each data set.

        A metric that is NaN is no best one.
        """
        best = set[int]()
        for rows in self.values.values():
            for name, metric in self.metrics.items():
                sign = -1 if metric.get("better") == "lower" else 1
                scores = {i: sign * rows[i][name] for i in iterations if name in rows.get(i, {})}
                numbers = [i for i, score in scores.items() if not math.isnan(score)]
                if numbers:
                    best.add(max(numbers, key=lambda i: (scores[i], i)))
        return best


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
