"""Optimizers and schedulers by their names in torch, in place of BasicSR's short list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from smsr_plugin.training.options.names import required


def build_optimizer(keys: Mapping[str, Any], params: Iterable[Tensor]) -> Optimizer:
    """Return the optimizer that a section `train.optim_…` describes.

    Args:
        keys: Its keys.
        params: The weights.
    """
    arguments = {key: value for key, value in keys.items() if key != "type"}
    return required("optimizer", keys["type"])(params, **arguments)


def build_scheduler(keys: Mapping[str, Any], optimizer: Optimizer) -> LRScheduler:
    """Return the scheduler that the section `train.scheduler` describes.

    Args:
        keys: Its keys.
        optimizer: Whose learning rates it sets.
    """
    arguments = {key: value for key, value in keys.items() if key != "type"}
    return required("scheduler", keys["type"])(optimizer, **arguments)
