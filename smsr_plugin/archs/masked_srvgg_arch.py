"""MaskedSRVGGNetCompact: Real-ESRGAN's compact network with masks on its chain of convolutions.

The network is BasicSR's `SRVGGNetCompact`: convolutions of 3×3, each with an activation, a last one
that is shuffled to sr, and the lq image enlarged by repeating its pixels. It has no blocks: so many
convolutions as `num_layer` in a row are taken for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_counts
from smsr_plugin.archs.masked import program_of
from smsr_plugin.archs.masked_srvgg_program import masked_srvgg_program
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.tile_masked import TileMasked, TileMaskedConfig

#: Convolutions of a block: the first of these that divides their number.
LAYERS = (4, 3, 2)


class Chain(nn.Module):
    """The convolutions, in turns with their slopes; the modules have the published names."""

    def __init__(self, num_in_ch: int, num_out_ch: int, num_feat: int, num_conv: int) -> None:
        super().__init__()
        inputs = [num_in_ch, *[num_feat] * num_conv]
        layers = [
            layer for i in inputs for layer in (nn.Conv2d(i, num_feat, 3, 1, 1), nn.PReLU(num_feat))
        ]
        self.body = nn.Sequential(*layers, nn.Conv2d(num_feat, num_out_ch, 3, padding=1))


class MaskedSRVGGNetCompact(TileMasked):
    """SRVGGNetCompact that computes where it matters.

    Args:
        num_in_ch, num_out_ch, num_feat, num_conv, upscale: As those of `SRVGGNetCompact`, whose
            activation is PReLU here: of that ReLU and leaky ReLU are cases.
        num_layer: Convolutions that make a block, from 2; divides num_conv.
        num_narrow: Channels of the narrow path at skipped pixels; 0 for none.

    Raises:
        ValueError: If an option is out of range.
    """

    dense: Chain
    dense_name = "SRVGGNetCompact"

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        upscale: int = 4,
        num_layer: int = 4,
        num_narrow: int = 0,
    ) -> None:
        name = type(self).__name__
        counts = {"num_feat": num_feat, "num_conv": num_conv, "num_layer": num_layer}
        check_counts(name, num_in_ch=num_in_ch, num_out_ch=num_out_ch, upscale=upscale, **counts)
        if num_in_ch != num_out_ch:
            raise ValueError(f"{name}: num_out_ch must be num_in_ch, got {num_out_ch}")
        if num_layer < min(LAYERS) or num_conv % num_layer:
            raise ValueError(
                f"{name}: num_layer must be from {min(LAYERS)} and divide num_conv, got "
                f"{num_layer} for {num_conv}"
            )
        blocks = num_conv // num_layer
        super().__init__(
            Chain(num_in_ch, num_out_ch * upscale**2, num_feat, num_conv),
            TileMaskedConfig(
                num_in_ch, num_out_ch, num_feat, num_layer, blocks, upscale, num_narrow
            ),
        )

    @classmethod
    @torch.no_grad()
    def from_dense(cls, dense: Any, num_narrow: int = 0) -> MaskedSRVGGNetCompact:
        """Return the masked form of a network, to be fitted; its weights are copies."""
        num_conv = dense.num_conv
        # Of none the first: the constructor says what is wrong.
        num_layer = next((layers for layers in LAYERS if num_conv % layers == 0), LAYERS[0])
        net = cls(
            dense.num_in_ch, dense.num_out_ch, dense.num_feat, num_conv, dense.upscale, num_layer,
            num_narrow,
        ).to(dense.body[0].weight)  # fmt: skip
        for own, given in zip(net.dense.body, dense.body, strict=True):
            if isinstance(own, nn.PReLU) and not isinstance(given, nn.PReLU):
                own.weight.fill_(getattr(given, "negative_slope", 0.0))
            else:
                own.load_state_dict(given.state_dict())
        return net.train(dense.training)

    def blocks(self) -> Sequence[nn.Module]:
        return [self._block(k) for k in range(self.config.num_block)]

    def _block(self, block: int) -> nn.Sequential:
        start, modules = 2 + 2 * block * self.config.num_layer, 2 * self.config.num_layer
        return self.dense.body[start : start + modules]

    def head(self, x: Tensor) -> Tensor:
        return self.dense.body[:2](x)

    def conv(self, block: int, layer: int, x: Tensor) -> Tensor:
        return self._block(block)[2 * layer : 2 * layer + 2](x)

    def tail(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        scale = self.config.upscale
        residual = F.pixel_shuffle(cast(nn.Conv2d, self.dense.body[-1])(features[-1]), scale)
        return residual + F.interpolate(x, scale_factor=scale)

    def program(self) -> Program[Tensor]:
        return program_of(self, masked_srvgg_program)
