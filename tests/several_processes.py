"""Trainings of SMSR in several processes: their options, what they say, what they leave."""

from __future__ import annotations

from pathlib import Path

import torch
from training_process import Ending

SMSR = {
    "model_type": "SMSRModel",
    "network_g": {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2},
    "datasets:train:type": "CheckedPairedImageDataset",
    "datasets:train:batch_size_per_gpu": 2,
    "train:ema_decay": 0.9,
    "train:iters_per_epoch": 2,
    "train:sparsity_warmup_epochs": 0,
    "train:sparsity_opt": {"type": "SparsityLoss", "loss_weight": 0.1},
}
#: Of weights of about 0.1, after a few steps of 0.001: sums in another order.
SAME = 1e-6
#: What steps on other noise or other images make of it, at least.
DIFFERENT = 1e-4


def codes(endings: list[Ending]) -> list[int]:
    """Return the exit codes, by rank."""
    return [ending.code for ending in endings]


def errors(endings: list[Ending]) -> list[str]:
    """Return what all processes tell the user about their end."""
    lines = [line for ending in endings for line in ending.err.splitlines()]
    assert "Traceback (most recent call last):" not in lines
    return [line for line in lines if line.startswith("smsr ")]


def weights(folder: Path, iteration: int | str = "latest") -> dict[str, torch.Tensor]:
    """Return the weights and the averaged weights of a saved network."""
    file = torch.load(folder / f"models/net_g_{iteration}.pth", weights_only=True)
    return {f"{part}.{key}": t for part in file for key, t in file[part].items()}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Return by how much two networks differ at most."""
    assert a.keys() == b.keys()
    return max((a[key] - b[key]).abs().max().item() for key in a)
