"""MaskedRLFN: RLFN with masks on the three convolutions of each block.

The network, its sizes and its weights: `smsr_plugin.archs.rlfn_arch`. A value range other than 1 is
folded into the first and the last convolution, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.rlfn_arch import BLOCK_NAMES, ESA, NEGATIVE_SLOPE, RLFB, RLFN
from smsr_plugin.archs.steps import Conv, ImageConv, Step, Upsample
from smsr_plugin.archs.tile_masked import ActiveConv, TileMasked, TileMaskedConfig
from smsr_plugin.archs.tile_program import active_convs, blend, decide_tiles, weight_and_bias
from smsr_plugin.archs.tile_steps import LocalAttention

LAYER_NAMES = ("c1_r", "c2_r", "c3_r")


class MaskedRLFN(TileMasked):
    """RLFN that computes where it matters.

    Args:
        num_in_ch, num_out_ch, num_feat, upscale: As those of `RLFN`.
        num_narrow: Channels of the narrow path at skipped pixels; 0 for none.

    Raises:
        ValueError: If an option is out of range.
    """

    #: An entry that only its state dict has.
    SIGN = "dense.block_1.c1_r.weight"

    dense: RLFN

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

    @staticmethod
    def options_of(state: Mapping[str, Tensor]) -> dict[str, int]:
        """Return the arguments that a state dict's shapes imply; num_out_ch is num_in_ch.

        Raises:
            KeyError, IndexError, ValueError: If a tensor that tells is absent or has no such shape.
        """
        num_feat, num_in_ch = state["dense.conv_1.weight"].shape[:2]
        narrow = state.get("substitutes.0.narrow.weight")
        return {
            "num_in_ch": num_in_ch,
            "num_out_ch": num_in_ch,
            "num_feat": num_feat,
            "upscale": math.isqrt(len(state["dense.upsampler.0.weight"]) // num_in_ch),
            "num_narrow": 0 if narrow is None else len(narrow),
        }

    def blocks(self) -> Sequence[RLFB]:
        return [self._block(k) for k in range(self.config.num_block)]

    def _block(self, block: int) -> RLFB:
        return getattr(self.dense, BLOCK_NAMES[block])

    def head(self, x: Tensor) -> Tensor:
        return self.dense.conv_1(x)

    def conv(self, block: int, layer: int) -> ActiveConv:
        return ActiveConv(getattr(self._block(block), LAYER_NAMES[layer]), NEGATIVE_SLOPE)

    def join(self, block: int, x: Tensor, hidden: Tensor) -> Tensor:
        return self._block(block).c5(x + hidden)

    def after(self, block: int, x: Tensor, y: Tensor) -> Tensor:
        return self._block(block).esa(y)

    def tail(self, features: Sequence[Tensor]) -> Tensor:
        return self.dense.upsampler(self.dense.conv_2(features[-1]) + features[0])

    @torch.no_grad()
    def program(self) -> Program[Tensor]:
        config = self.config
        first, first_bias = weight_and_bias(self.dense.conv_1)
        # The image is not shifted: the channel of ones has no weight.
        image = torch.cat([first, torch.zeros_like(first[:, :1])], 1)
        steps: list[Step[Tensor]] = [ImageConv("block0", image, first_bias), decide_tiles(self)]
        for k in range(config.num_block):
            x = f"block{k}"
            steps += active_convs(self, k, x)
            steps += [
                blend(
                    self, k, self._block(k).c5, (x, f"{x}.layer{config.num_layer - 1}"), f"{x}.y"
                ),
                _attention(self._block(k).esa, f"{x}.y", f"block{k + 1}"),
            ]
        features = f"block{config.num_block}"
        steps += [
            Conv((features,), "features", *weight_and_bias(self.dense.conv_2), add="block0"),
            Conv(("features",), "residual", *weight_and_bias(self.dense.upsampler[0]), part="tail"),
            Upsample("residual", "none"),
        ]
        return Program(
            config.num_in_ch, config.num_out_ch, config.upscale, config.num_block, tuple(steps)
        )


def _attention(esa: ESA, x: str, out: str) -> LocalAttention[Tensor]:
    return LocalAttention(
        x,
        out,
        *_matrix(esa.conv1),
        *weight_and_bias(esa.conv2),
        *weight_and_bias(esa.conv3),
        *_matrix(esa.conv_f),
        *_matrix(esa.conv4),
    )


def _matrix(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    weight, bias = weight_and_bias(conv)
    return weight.flatten(1), bias
