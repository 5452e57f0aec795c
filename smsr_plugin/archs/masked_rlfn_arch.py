"""MaskedRLFN: RLFN with masks on the three convolutions of each block.

The network, its sizes and its weights: `smsr_plugin.archs.rlfn_arch`. A value range other than 1 is
folded into the first and the last convolution, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.masked import program_of
from smsr_plugin.archs.masked_rlfn_program import (
    BLOCK_NAMES,
    LAYER_NAMES,
    NEGATIVE_SLOPE,
    masked_rlfn_program,
)
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.rlfn_arch import RLFB, RLFN
from smsr_plugin.archs.tile_masked import TileMasked, TileMaskedConfig


class MaskedRLFN(TileMasked):
    """RLFN that computes where it matters.

    Args:
        num_in_ch, num_out_ch, num_feat, upscale: As those of `RLFN`.
        num_narrow: Channels of the narrow path at skipped pixels; 0 for none.

    Raises:
        ValueError: If an option is out of range.
    """

    dense: RLFN
    dense_name = "RLFN"

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 52,
        upscale: int = 4,
        num_narrow: int = 0,
    ) -> None:
        layers, blocks = len(LAYER_NAMES), len(BLOCK_NAMES)
        super().__init__(
            RLFN(num_in_ch, num_out_ch, num_feat, upscale),
            TileMaskedConfig(num_in_ch, num_out_ch, num_feat, layers, blocks, upscale, num_narrow),
        )

    @classmethod
    @torch.no_grad()
    def from_dense(cls, dense: RLFN, num_narrow: int = 0) -> MaskedRLFN:
        """Return the masked form of a network, to be fitted; its weights are copies."""
        num_feat, num_in_ch = dense.conv_1.weight.shape[:2]
        net = cls(num_in_ch, dense.num_out_ch, num_feat, dense.upscale, num_narrow)
        net = net.to(dense.conv_1.weight)
        net.dense.load_state_dict(dense.state_dict())
        net.dense.conv_1.weight *= dense.img_range
        for value in net.dense.upsampler[0].parameters():
            value /= dense.img_range
        return net.train(dense.training)

    def blocks(self) -> Sequence[RLFB]:
        return [self._block(k) for k in range(self.config.num_block)]

    def _block(self, block: int) -> RLFB:
        return getattr(self.dense, BLOCK_NAMES[block])

    def head(self, x: Tensor) -> Tensor:
        return self.dense.conv_1(x)

    def conv(self, block: int, layer: int, x: Tensor) -> Tensor:
        return F.leaky_relu(getattr(self._block(block), LAYER_NAMES[layer])(x), NEGATIVE_SLOPE)

    def join(self, block: int, x: Tensor, hidden: Tensor) -> Tensor:
        return self._block(block).c5(x + hidden)

    def after(self, block: int, x: Tensor, y: Tensor) -> Tensor:
        return self._block(block).esa(y)

    def tail(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        return self.dense.upsampler(self.dense.conv_2(features[-1]) + features[0])

    def program(self) -> Program[Tensor]:
        return program_of(self, masked_rlfn_program)
