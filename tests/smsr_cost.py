"""The multiply-adds of SMSR as a formula of its dense channels and spatial densities: an oracle.

The paper counts the mask predictor's transposed convolution (stride 2) at its output's pixels,
four times what it computes: 224.1G for the dense x2 network where this formula gives 223.8G.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.smsr_block import SparseMaskModule
from smsr_plugin.config import SMSRConfig

KERNEL = 3 * 3
#: Pixels of the mask predictor's inner resolution per lq pixel: it pools by 2 in both directions.
INNER_PIXELS = 1 / 4
#: By how much a mean of ones in float32 may exceed 1.
DENSITY_TOLERANCE = 1e-6


@dataclass(frozen=True)
class SMSRCost:
    """What each part of an SMSR costs, in multiply-adds per lq pixel.

    A layer with C_in input channels, d' of them dense, and C output channels, d of them dense,
    costs 9·d'·d at every pixel (dense to dense) and 9·(C_in·C − d'·d) more at important pixels.
    The input of a block's first layer is dense throughout. The 1×1 fuse costs C for each dense
    channel at every pixel and C for each sparse channel at important pixels.

    Attributes:
        config: The network.
        dense_channels: K×L numbers of dense output channels, each in 0…C. None: all are dense,
            and every pixel is computed whatever the densities.

    Raises:
        ValueError: If `dense_channels` does not fit the network.
    """

    config: SMSRConfig
    dense_channels: Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        c, blocks, layers = self.config.num_feat, self.config.num_block, self.config.num_layer
        counts = [[c] * layers] * blocks if self.dense_channels is None else self.dense_channels
        counts = tuple(tuple(block) for block in counts)
        fits = [len(block) for block in counts] == [layers] * blocks
        if not fits or not all(0 <= count <= c for block in counts for count in block):
            raise ValueError(
                f"expected dense_channels as {blocks} blocks of {layers} numbers in 0…{c}, "
                f"got {counts}"
            )
        object.__setattr__(self, "dense_channels", counts)

    @property
    def head(self) -> int:
        """The two convolutions from the image to features."""
        return KERNEL * self.config.num_feat * (self.config.num_in_ch + self.config.num_feat)

    @property
    def mask(self) -> float:
        """The spatial mask predictors of all blocks."""
        c, squeezed = self.config.num_feat, self.config.mask_feat
        inner = squeezed * squeezed + squeezed * 2
        return self.config.num_block * KERNEL * (c * squeezed + INNER_PIXELS * inner)

    @property
    def collect(self) -> int:
        """The 1×1 and the 3×3 convolution after the blocks."""
        return (self.config.num_block + KERNEL) * self.config.num_feat**2

    @property
    def tail(self) -> int:
        """The convolution before the pixel shuffle."""
        return KERNEL * self.config.num_feat * self.config.num_out_ch * self.config.upscale**2

    @property
    def smm_dense(self) -> tuple[int, ...]:
        """For each block, what is computed at every pixel: dense to dense and their fuse."""
        c = self.config.num_feat
        return tuple(
            sum(KERNEL * before * after for before, after in zip((c, *block), block, strict=False))
            + sum(block) * c
            for block in self.dense_channels or ()
        )

    @property
    def smm_sparse(self) -> tuple[int, ...]:
        """For each block, what is computed at important pixels only."""
        block = self.config.num_layer * (KERNEL + 1) * self.config.num_feat**2
        return tuple(block - dense for dense in self.smm_dense)

    @property
    def smm(self) -> int:
        """The layers and fuses of all blocks, every pixel important."""
        return sum(self.smm_dense) + sum(self.smm_sparse)

    @property
    def attention(self) -> int:
        """The channel attentions of all blocks: per image, whatever its size."""
        return self.config.num_block * 2 * self.config.num_feat * self.config.attention_feat

    def macs(self, spa_densities: Sequence[float], lq_pixels: int) -> int:
        """Return the multiply-adds of one image.

        Args:
            spa_densities: For each block the share of important pixels, in 0…1.
            lq_pixels: H·W of the lq image. With an odd side the mask predictors work on the
                padded image, at most one row and one column more, which is not counted.

        Raises:
            ValueError: If the densities do not fit.
        """
        self._check_densities(spa_densities)
        per_pixel = self.head + self.mask + self.collect + self.tail + sum(self.smm_dense)
        per_pixel += sum(s * d for s, d in zip(self.smm_sparse, spa_densities, strict=True))
        return round(per_pixel * lq_pixels) + self.attention

    def activations(self, spa_densities: Sequence[float], lq_pixels: int) -> int:
        """Return the values that the convolutions put out for one image; see `macs`.

        Every pixel has the outputs of head and collect (2·C each), of the mask predictors (C/4 and
        2, and C/4 at their inner resolution), of the fuses (C), of the tail, and the dense channels
        of the layers. Sparse channels are put out at important pixels only.
        """
        self._check_densities(spa_densities)
        config, c = self.config, self.config.num_feat
        layers = [sum(block) for block in self.dense_channels or ()]
        every_pixel = 2 * c + 2 * c + config.num_out_ch * config.upscale**2 + sum(layers)
        every_pixel += config.num_block * (c + 2 + config.mask_feat * (1 + INNER_PIXELS))
        sparse = [config.num_layer * c - dense for dense in layers]
        kept = sum(s * d for s, d in zip(sparse, spa_densities, strict=True))
        return round((every_pixel + kept) * lq_pixels) + config.num_block * (
            config.attention_feat + c
        )

    def _check_densities(self, spa_densities: Sequence[float]) -> None:
        blocks, highest = self.config.num_block, 1 + DENSITY_TOLERANCE
        if len(spa_densities) != blocks or not all(0 <= d <= highest for d in spa_densities):
            raise ValueError(
                f"expected {blocks} spatial densities in 0…1, got {list(spa_densities)}"
            )

    def dense_macs(self, lq_pixels: int) -> int:
        """Return the multiply-adds of one image with every channel and pixel computed."""
        return self.macs([1] * self.config.num_block, lq_pixels)


def dense_channels(net: SMSR) -> tuple[tuple[int, ...], ...]:
    """Return the number of dense output channels of each layer of each block, K×L.

    A channel is dense where its mask logit 1 does not exceed its logit 0.
    """
    blocks = cast(list[SparseMaskModule], list(net.blocks))
    logits = torch.stack([block.ch_mask.detach()[0] for block in blocks])
    dense = ~(logits[..., 1] > logits[..., 0])
    return tuple(tuple(layers) for layers in dense.sum(1).tolist())
