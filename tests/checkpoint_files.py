"""Checkpoint files of all kinds, written without the code under test."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.masked_networks import load


def released_form(net: SMSR) -> dict[str, Tensor]:
    """Return the weights under the released checkpoint's names, with its mean shifts."""
    state = net.state_dict()
    r, mean = net.config.img_range, torch.tensor(net.config.rgb_mean)
    official = {
        "sub_mean.weight": torch.eye(3).view(3, 3, 1, 1),
        "sub_mean.bias": -r * mean,
        "add_mean.weight": torch.eye(3).view(3, 3, 1, 1),
        "add_mean.bias": r * mean,
    }
    for name in ("head.0", "head.2", "collect.0", "collect.2", "tail.0"):
        official[f"{name}.weight"] = state[f"{name}.weight"]
        official[f"{name}.bias"] = state[f"{name}.bias"]
    for k in range(net.config.num_block):
        official[f"body.{k}.body.ch_mask"] = state[f"blocks.{k}.ch_mask"]
        for layer in range(net.config.num_layer):
            official[f"body.{k}.body.body.{layer}.weight"] = state[
                f"blocks.{k}.convs.{layer}.weight"
            ]
        for theirs, ours in (
            ("spa_mask.0", "spa_mask.conv1"),
            ("spa_mask.3", "spa_mask.conv2"),
            ("spa_mask.5", "spa_mask.deconv"),
            ("body.collect", "fuse"),
            ("ca.conv_du.0", "attention.squeeze"),
            ("ca.conv_du.2", "attention.excite"),
        ):
            for kind in ("weight", "bias"):
                official[f"body.{k}.{theirs}.{kind}"] = state[f"blocks.{k}.{ours}.{kind}"]
    return official


def error_of(path, **options) -> str:
    """Return the message of the error that reading raises; it must be one line with the path."""
    with pytest.raises(CheckpointError) as caught:
        load(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 700
    return message
