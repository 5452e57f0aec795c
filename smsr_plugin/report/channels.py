"""How many values of each feature channel are zero, in the regions that the masks tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smsr_plugin.archs.dense_twin import DenseTwin

#: Bins of the histogram over 0…1.
BINS = 20
#: A channel with at least this share of zeros is called silent.
SILENT = 0.9


@dataclass(frozen=True)
class ZeroShares:
    """For each feature channel the share of its values that are zero after the ReLU.

    Attributes:
        important, unimportant: (K, L, C), at the pixels inside and outside of a block's mask;
            NaN where there is no such pixel.
    """

    important: NDArray[np.float64]
    unimportant: NDArray[np.float64]


def zero_shares(twin: DenseTwin, x: Tensor, spa_mask: Tensor) -> ZeroShares:
    """Count zeros in the outputs of all layers of the blocks, with every pixel computed.

    With the masks applied, sparse channels would be zero at unimportant pixels by definition;
    the dense network shows what they hold if nothing is skipped.

    Args:
        twin: The network without masks.
        x: (1, 3, H, W), 0…1.
        spa_mask: (K, H, W) bool, the masks that the sparse network decided on.
    """
    important: list[NDArray[np.float64]] = []
    unimportant: list[NDArray[np.float64]] = []

    def count(fuse: nn.Module, inputs: tuple[Tensor]) -> None:
        zero, mask = inputs[0][0] == 0, spa_mask[len(important)]
        channels = fuse.get_parameter("weight").shape[0]
        important.append(_share(zero, mask).reshape(-1, channels))
        unimportant.append(_share(zero, ~mask).reshape(-1, channels))

    # A block's fuse sees the outputs of all of its layers, one after the other.
    hooks = [
        block.get_submodule("fuse").register_forward_pre_hook(count) for block in twin.body.blocks
    ]
    try:
        with torch.inference_mode():
            twin(x)
    finally:
        for hook in hooks:
            hook.remove()
    return ZeroShares(np.stack(important), np.stack(unimportant))


def histogram(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of channels in each of `BINS` bins over 0…1; zeros if all are NaN."""
    known = shares[~np.isnan(shares)]
    counts, _ = np.histogram(known, bins=BINS, range=(0, 1))
    return counts / max(1, known.size)


def silent(shares: NDArray[np.float64]) -> float | None:
    """Return the share of channels with at least `SILENT` of their values zero."""
    known = shares[~np.isnan(shares)]
    return float(np.mean(known >= SILENT)) if known.size else None


def _share(zero: Tensor, mask: Tensor) -> NDArray[np.float64]:
    """Return the share of zeros of each channel (channels, H, W) at the pixels of a mask."""
    pixels = int(mask.sum())
    if not pixels:
        return np.full(len(zero), np.nan)
    return (zero & mask).sum((1, 2)).double().numpy() / pixels
