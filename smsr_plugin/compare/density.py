"""Masks of a wanted density with the shapes that the network itself draws.

The threshold of the mask decision, logit 1 − logit 0 > t, is moved until the mean of all blocks'
masks has the wanted density. Blocks keep their differences: some are denser than the mean.

The sparse network is then run with that threshold and predicts its masks itself, so that the time
of the mask predictors, which every real inference needs, is in the figure. With masks given from
outside it would be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from smsr_plugin.archs.masked import MaskedNetwork, MaskedOutput

#: How near to the wanted density is near enough.
TOLERANCE = 0.005
#: Runs of the network for one density at most.
ATTEMPTS = 4


class Threshold(NamedTuple):
    """A threshold and what it gives."""

    threshold: float
    density: float  #: The mean spatial density it was seen to give.


@torch.inference_mode()
def thresholds_for(net: MaskedNetwork, x: Tensor, densities: Sequence[float]) -> list[Threshold]:
    """Find thresholds that give mean spatial densities on an image.

    A block's logits depend on the masks of the blocks before it, so one look at all logits does
    not give the threshold: it is taken from the logits that the last threshold led to, until the
    density is within `TOLERANCE` or `ATTEMPTS` runs are over. A few runs do for trained networks.

    Args:
        net: In evaluation mode.
        x: (1, num_in_ch, H, W), 0…1.
        densities: In 0…1; neighbours help each other, so give them in order.

    Raises:
        ValueError: If a density is not in 0…1.
    """
    if not all(0 <= density <= 1 for density in densities):
        raise ValueError(f"densities must be in 0…1, got {list(densities)}")
    found, logits = [], mask_logits(net, x, 0.0)
    for density in densities:
        candidates = []
        for _ in range(ATTEMPTS):
            threshold = threshold_of(logits, density)
            logits = mask_logits(net, x, threshold)
            reached = float((logits > threshold).double().mean())
            candidates.append(Threshold(threshold, reached))
            if abs(reached - density) <= TOLERANCE:
                break
        found.append(min(candidates, key=lambda candidate: abs(candidate.density - density)))
    return found


def mask_logits(net: MaskedNetwork, x: Tensor, threshold: float) -> Tensor:
    """Return logit 1 − logit 0 of all blocks, (K, H, W), when the masks follow `threshold`."""
    logits = cast(MaskedOutput, net(x, threshold=threshold, return_masks=True)).logits
    assert logits is not None, "the network decides its masks itself"
    return logits[0]


def threshold_of(logits: Tensor, density: float) -> float:
    """Return the threshold above which the wanted share of the logits lies, ties aside.

    It lies half-way between two logits, so that rounding elsewhere does not move it past one.
    """
    ascending = logits.flatten().double().sort().values
    below = round((1 - density) * len(ascending))
    if below == 0:
        return float("-inf")
    if below == len(ascending):
        return float("inf")
    return float((ascending[below - 1] + ascending[below]) / 2)
