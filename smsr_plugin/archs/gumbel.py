"""Two-class masks: soft with Gumbel noise for training, hard for inference.

Both classes' logits enter only through their difference, so every function here takes
`logit_1 − logit_0`. With G_0, G_1 drawn from the Gumbel distribution,

    softmax((logits + G) / τ)[1] = sigmoid((logit_1 − logit_0 + G_1 − G_0) / τ),

and G_1 − G_0 follows the standard logistic distribution: one draw in place of two.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def logit_difference(logits: Tensor, dim: int) -> Tensor:
    """Return logit 1 − logit 0 along `dim` (of size 2), keeping that dimension at size 1."""
    zero, one = logits.split(1, dim)
    return one - zero


def soft_mask(
    difference: Tensor, tau: float, generators: Sequence[Generator] | None = None
) -> Tensor:
    """Draw the Gumbel softmax mask of class 1, in (0, 1), in float32.

    Args:
        difference: logit 1 − logit 0, any shape.
        tau: Temperature τ, above 0; as it falls the mask nears 0 or 1.
        generators: Draw the noise, one for each entry of the first dimension, which then does not
            depend on the other entries; None: PyTorch's own draws all of it.

    Raises:
        ValueError: If `tau` is not above 0, or there is not one generator per entry.
    """
    if not tau > 0:
        raise ValueError(f"tau must be above 0, got {tau}")
    # Half precision would round the noise of rare events away, so the draw is in float32 or wider.
    difference = difference if difference.dtype == torch.float64 else difference.float()
    tiny = torch.finfo(difference.dtype).tiny
    uniform = _uniform(difference, generators).clamp_(min=tiny)
    logistic = uniform.log() - torch.log1p(-uniform)
    return torch.sigmoid((difference + logistic) / tau)


def _uniform(like: Tensor, generators: Sequence[Generator] | None) -> Tensor:
    if generators is None:
        return torch.rand_like(like)
    if len(generators) != len(like):
        raise ValueError(f"expected {len(like)} generators, got {len(generators)}")
    entry = like[0]
    return torch.stack(
        [
            torch.rand(entry.shape, generator=g, dtype=like.dtype, device=like.device)
            for g in generators
        ]
    )


def hard_mask(difference: Tensor, threshold: float = 0.0) -> Tensor:
    """Return 1 where logit 1 − logit 0 is strictly above `threshold`, else 0 (same dtype)."""
    return (difference > threshold).to(difference.dtype)
