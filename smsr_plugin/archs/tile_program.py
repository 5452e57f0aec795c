"""The steps that all networks with masks at tiles have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from smsr_plugin.archs.steps import MaskedConv, Step
from smsr_plugin.archs.tile_steps import Blend, DecideTiles, Narrow

if TYPE_CHECKING:
    from smsr_plugin.archs.tile_masked import TileMasked


def decide_tiles(net: TileMasked) -> DecideTiles[Tensor]:
    """Return the step that decides all masks."""
    predictor = net.predictor
    convs = (predictor.conv1, predictor.conv2, predictor.conv3)
    first, second, third = map(weight_and_bias, convs)
    return DecideTiles(tuple(range(net.config.num_block)), *first, *second, *third)


def active_convs(net: TileMasked, block: int, x: str) -> list[Step[Tensor]]:
    """Return a block's convolutions, each reading the one before, the first plane `x`."""
    steps: list[Step[Tensor]] = []
    for layer in range(net.config.num_layer):
        conv, slope = net.conv(block, layer)
        last = layer == net.config.num_layer - 1
        rest = None if last else net.constants[block, layer]
        out = f"block{block}.layer{layer}"
        weight, bias = weight_and_bias(conv)
        steps.append(MaskedConv(x, out, block, weight, 0, bias, slope, rest))
        x = out
    return steps


def blend(
    net: TileMasked, block: int, join: nn.Conv2d, xs: tuple[str, ...], out: str
) -> Step[Tensor]:
    """Return a block's join, a 1×1 convolution of the sum of `xs`, and its substitute of xs[0]."""
    weight, bias = weight_and_bias(join)
    substitute = net.substitute(block)
    linear, linear_bias = weight_and_bias(substitute.linear)
    narrow = None
    if substitute.narrow is not None:
        conv = weight_and_bias(substitute.narrow)
        narrow = Narrow(*conv, substitute.widen.weight.flatten(1), substitute.SLOPE)
    return Blend(
        xs, xs[0], out, block, weight.flatten(1), bias, linear.flatten(1), linear_bias, narrow
    )


def weight_and_bias(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the parameters of a layer with a bias."""
    return conv.get_parameter("weight"), conv.get_parameter("bias")
