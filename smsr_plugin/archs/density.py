"""Densities and logits: at which logit a block computes a wanted share of the pixels.

The logits of a block have a scale of their own, and a shift of the decision changes the density of
each block differently. A network that was trained with a target density therefore keeps, for each
block, the logits at which the share of pixels above them is each of `DENSITIES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

#: Curves may be PyTorch's tensors or NumPy's arrays.
C = TypeVar("C", "Tensor", NDArray[np.float64])

#: Points of a curve; their densities are 0, 1/40 … 1.
POINTS = 41
#: Above any logit of an image: moved by this, a block computes all pixels or none.
BEYOND = 1e3


def density_curve(logits: Tensor) -> Tensor:
    """Return the logits above which each of `POINTS` densities of the pixels lies, (K, POINTS).

    Args:
        logits: logit 1 − logit 0 of all pixels, (B, K, H, W).
    """
    import torch  # the rest of this module does without

    pixels = logits.transpose(0, 1).flatten(1).float()
    ordered = pixels.sort(1, descending=True).values
    places = torch.linspace(0, ordered.shape[1] - 1, POINTS, device=logits.device)
    return ordered[:, places.round().long()]


def logits_at(curve: C | None, density: float) -> C:
    """Return each block's logit above which a share `density` of the pixels lies, (K,).

    Interpolates linearly; at 0 and 1 the logits are beyond those of any image.

    Args:
        curve: As `density_curve` gives it, (K, POINTS); None for a network that keeps none.
        density: In 0…1.

    Raises:
        ValueError: If there is no curve, or `density` is outside 0…1.
    """
    if curve is None:
        raise ValueError(
            "a density can be asked of networks trained with train.masks.density, which keep "
            "the curves for it; this one takes a threshold"
        )
    if not 0 <= density <= 1:
        raise ValueError(f"density must be in 0…1, the share of pixels to compute, got {density}")
    if density == 0:
        return curve[:, 0] + BEYOND
    if density == 1:
        return curve[:, -1] - BEYOND
    place = density * (POINTS - 1)
    below = min(int(place), POINTS - 2)
    low, high, share = curve[:, below], curve[:, below + 1], place - below
    # From the nearer end, so that the ends are met exactly.
    if share < 0.5:
        return low + share * (high - low)
    return high - (1 - share) * (high - low)
