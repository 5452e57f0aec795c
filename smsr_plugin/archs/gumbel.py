"""Two-class masks: soft with Gumbel noise for training, hard for inference.

Both classes' logits enter only through their difference, so every function here takes
`logit_1 − logit_0`. With G_0, G_1 drawn from the Gumbel distribution,

    softmax((logits + G) / τ)[1] = sigmoid((logit_1 − logit_0 + G_1 − G_0) / τ),

and G_1 − G_0 follows the standard logistic distribution: one draw in place of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor


class MaskShape(Protocol):
    """Says how many masks a network has: K blocks, C channels in each of L layers."""

    @property
    def num_block(self) -> int: ...
    @property
    def num_feat(self) -> int: ...
    @property
    def num_layer(self) -> int: ...


class MaskSeeds(NamedTuple):
    """Seeds of the masks' noise, so that it follows the samples wherever they are computed."""

    samples: Tensor  #: (B,) int64, of each sample's spatial masks
    channels: int  #: of the channel masks


class MaskNoise(NamedTuple):
    """The noise G_1 − G_0 of all masks in one forward pass."""

    spa: Tensor  #: (B, K, H, W), each pixel's own
    ch: Tensor  #: (1, K, C, L), shared by the batch

    @classmethod
    def draw(cls, config: MaskShape, lq: Tensor, seeds: MaskSeeds | None = None) -> MaskNoise:
        """Draw it for a batch of lq images, (B, num_in_ch, H, W), on their device.

        Without seeds it comes from PyTorch's own generator.
        """
        blocks = config.num_block
        ch_shape = (1, blocks, config.num_feat, config.num_layer)
        spa_shape = (blocks, *lq.shape[2:])
        if seeds is None:
            ch = logistic_noise(ch_shape, lq)
            return cls(logistic_noise((len(lq), *spa_shape), lq), ch)
        of_samples = [logistic_noise(spa_shape, lq, seed) for seed in seeds.samples.tolist()]
        return cls(torch.stack(of_samples), logistic_noise(ch_shape, lq, seeds.channels))

    def split(self, sections: int) -> list[MaskNoise]:
        """Return the noise of the parts that `torch.tensor_split` makes of the batch."""
        return [MaskNoise(spa, self.ch) for spa in self.spa.tensor_split(sections)]


def logistic_noise(shape: Sequence[int], like: Tensor, seed: int | None = None) -> Tensor:
    """Draw from the standard logistic distribution on a tensor's device, in float32 or wider."""
    generator = None if seed is None else Generator(like.device).manual_seed(seed)
    # Half precision would round the noise of rare events away.
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    uniform = torch.rand(*shape, generator=generator, dtype=dtype, device=like.device)
    uniform.clamp_(min=torch.finfo(dtype).tiny)
    return uniform.log() - torch.log1p(-uniform)


def logit_difference(logits: Tensor, dim: int) -> Tensor:
    """Return logit 1 − logit 0 along `dim` (of size 2), keeping that dimension at size 1."""
    zero, one = logits.split(1, dim)
    return one - zero


def soft_mask(difference: Tensor, tau: float, noise: Tensor | None = None) -> Tensor:
    """Return the Gumbel softmax mask of class 1, in (0, 1), in float32 or wider.

    Args:
        difference: logit 1 − logit 0, any shape.
        tau: Temperature τ, above 0; as it falls the mask nears 0 or 1.
        noise: G_1 − G_0, of the same shape; None to draw it.

    Raises:
        ValueError: If `tau` is not above 0.
    """
    if not tau > 0:
        raise ValueError(f"tau must be above 0, got {tau}")
    if noise is None:
        noise = logistic_noise(difference.shape, difference)
    return torch.sigmoid((difference.to(noise.dtype) + noise) / tau)


def hard_mask(difference: Tensor, threshold: float = 0.0) -> Tensor:
    """Return 1 where logit 1 − logit 0 is strictly above `threshold`, else 0 (same dtype)."""
    return (difference > threshold).to(difference.dtype)


def straight_through_mask(difference: Tensor) -> Tensor:
    """Return the hard mask, whose gradient is that of the sigmoid at τ = 1.

    What all logits of the batch have in common gets no gradient: the share of important pixels is
    then the business of whoever sets it (`smsr_plugin.archs.density`), not of the loss.

    Args:
        difference: logit 1 − logit 0, any shape.
    """
    mean = difference.mean()
    soft = torch.sigmoid(difference - mean + mean.detach())
    return soft + (hard_mask(difference) - soft).detach()
