"""Two-class masks: soft with Gumbel noise for training, hard for inference.

Both classes' logits enter only through their difference, so every function here takes
`logit_1 − logit_0`. With G_0, G_1 drawn from the Gumbel distribution,

    softmax((logits + G) / τ)[1] = sigmoid((logit_1 − logit_0 + G_1 − G_0) / τ),

and G_1 − G_0 follows the standard logistic distribution: one draw in place of two.
"""

from __future__ import annotations

import torch
from torch import Tensor


def logit_difference(logits: Tensor, dim: int) -> Tensor:
    """Return logit 1 − logit 0 along `dim` (of size 2), keeping that dimension at size 1."""
    zero, one = logits.split(1, dim)
    return one - zero


def soft_mask(difference: Tensor, tau: float) -> Tensor:
    """Draw the Gumbel softmax mask of class 1, in (0, 1), in float32.

    Args:
        difference: logit 1 − logit 0, any shape.
        tau: Temperature τ, above 0; as it falls the mask nears 0 or 1.

    Raises:
        ValueError: If `tau` is not above 0.
    """
    if not tau > 0:
        raise ValueError(f"tau must be above 0, got {tau}")
    # Half precision would round the noise of rare events away, so the draw is in float32 or wider.
    difference = difference if difference.dtype == torch.float64 else difference.float()
    tiny = torch.finfo(difference.dtype).tiny
    uniform = torch.rand_like(difference).clamp_(min=tiny)
    logistic = uniform.log() - torch.log1p(-uniform)
    return torch.sigmoid((difference + logistic) / tau)


def hard_mask(difference: Tensor, threshold: float = 0.0) -> Tensor:
    """Return 1 where logit 1 − logit 0 is strictly above `threshold`, else 0 (same dtype)."""
    return (difference > threshold).to(difference.dtype)
