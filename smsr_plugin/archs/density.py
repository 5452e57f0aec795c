"""Densities and logits: at which logit a block computes a wanted share of the pixels.

The logits of a block have a scale of their own, and a shift of the decision changes the density of
each block differently. A network that was trained with a target density therefore keeps, for each
block, the logits at which the share of pixels above them is each of `DENSITIES`.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Points of a curve; their densities are 0, 1/40 … 1.
POINTS = 41
#: Above any logit of an image: moved by this, a block computes all pixels or none.
BEYOND = 1e3


def density_curve(logits: Tensor) -> Tensor:
    """Return the logits above which each of `POINTS` densities of the pixels lies, (K, POINTS).

    Args:
        logits: logit 1 − logit 0 of all pixels, (B, K, H, W).
    """
    pixels = logits.transpose(0, 1).flatten(1).float()
    ordered = pixels.sort(1, descending=True).values
    places = torch.linspace(0, ordered.shape[1] - 1, POINTS, device=logits.device)
    return ordered[:, places.round().long()]


def logits_at(curve: Tensor, density: float) -> Tensor:
    """Return each block's logit above which a share `density` of the pixels lies, (K,).

    Interpolates linearly; at 0 and 1 the logits are beyond those of any image.

    Args:
        curve: As `density_curve` gives it, (K, POINTS).
        density: In 0…1.

    Raises:
        ValueError: If `density` is outside 0…1.
    """
    if not 0 <= density <= 1:
        raise ValueError(f"density must be in 0…1, the share of pixels to compute, got {density}")
    if density == 0:
        return curve[:, 0] + BEYOND
    if density == 1:
        return curve[:, -1] - BEYOND
    place = density * (POINTS - 1)
    below = min(int(place), POINTS - 2)
    return torch.lerp(curve[:, below], curve[:, below + 1], place - below)
