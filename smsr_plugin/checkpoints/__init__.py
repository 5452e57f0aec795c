"""Checkpoints, read safely: the released weights, BasicSR's networks, safetensors; and others.

The exports are loaded on first use: `shipped` and `converted` do without PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smsr_plugin import lazy

if TYPE_CHECKING:
    from smsr_plugin.checkpoints.any_network import load_weights, read_tensors
    from smsr_plugin.checkpoints.errors import CheckpointError
    from smsr_plugin.checkpoints.keys import fold_img_range
    from smsr_plugin.checkpoints.masked_networks import load, save
    from smsr_plugin.checkpoints.network import (
        Checkpoint,
        build,
        interpret,
        read,
        read_state_dict,
    )
    from smsr_plugin.checkpoints.shipped import VARIABLE, default_weights, shipped_weights

__all__ = [
    "VARIABLE",
    "Checkpoint",
    "CheckpointError",
    "build",
    "default_weights",
    "fold_img_range",
    "interpret",
    "load",
    "load_weights",
    "read",
    "read_state_dict",
    "read_tensors",
    "save",
    "shipped_weights",
]

_HOMES = {
    "any_network": ("load_weights", "read_tensors"),
    "errors": ("CheckpointError",),
    "keys": ("fold_img_range",),
    "masked_networks": ("load", "save"),
    "network": ("Checkpoint", "build", "interpret", "read", "read_state_dict"),
    "shipped": ("VARIABLE", "default_weights", "shipped_weights"),
}

__getattr__, __dir__ = lazy.exports(
    __name__, {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}
)
