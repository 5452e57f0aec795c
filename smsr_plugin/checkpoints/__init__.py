"""Checkpoints, read safely: the released weights, BasicSR's networks, safetensors; and others."""

from __future__ import annotations

from smsr_plugin.checkpoints.any_network import load_weights, read_tensors
from smsr_plugin.checkpoints.errors import CheckpointError
from smsr_plugin.checkpoints.keys import fold_img_range
from smsr_plugin.checkpoints.network import (
    Checkpoint,
    build,
    interpret,
    load,
    read,
    read_state_dict,
    save,
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
