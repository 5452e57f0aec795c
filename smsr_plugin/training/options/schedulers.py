"""Schedulers of the learning rate whose options do not reach to the end of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smsr_plugin.training.errors import wrong

#: Of BasicSR's schedulers: the list that each restart's weight belongs to.
_RESTARTS = {
    "MultiStepLR": "restarts",
    "MultiStepRestartLR": "restarts",
    "CosineAnnealingRestartLR": "periods",
}
_KEY = "train.scheduler"


def check_scheduler(keys: Mapping[str, Any], total_iter: int) -> None:
    """Refuse a scheduler that knows no learning rate for some iteration.

    Args:
        keys: The section `train.scheduler`.
        total_iter: Iterations of the training.

    Raises:
        OptionError: If it is one.
    """
    name = _RESTARTS.get(keys["type"])
    if name is None:
        return
    restarts = keys.get(name, [0])
    weights = keys.get("restart_weights", [1])
    if len(restarts) != len(weights):
        expected = f"{len(restarts)}, one for each of `{name}`"
        raise wrong(f"{_KEY}.restart_weights", expected, weights, "write e.g. 1 for each")
    # At iteration n it has made n - 1 steps.
    if name == "periods" and sum(restarts) + 1 < total_iter:
        expected = f"iterations that add up to total_iter, {total_iter:,}"
        came = f"{restarts}, together {sum(restarts):,}"
        raise wrong(f"{_KEY}.periods", expected, came, "the training would stop there")
