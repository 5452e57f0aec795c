"""SMSR as a program for the engine.

The mean and the value range are folded away: the first convolution sees [x, 1] in place of
(x − mean)·range, and the bicubic upsample of x − mean plus the mean is that of x, because the
weights of the interpolation sum to 1. Within each layer dense channels come first, and the next
layer and the fuse see them in that order, so that no index is needed when it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from smsr_plugin.archs.gumbel import logit_difference
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import (
    RELU,
    Attention,
    Collect,
    Conv,
    Fuse,
    Hourglass,
    ImageConv,
    MaskedConv,
    Step,
    Upsample,
)

if TYPE_CHECKING:
    from smsr_plugin.archs.smsr_arch import SMSR


@torch.no_grad()
def smsr_program(net: SMSR) -> Program[Tensor]:
    """Return what `net` computes with hard masks; see `MaskedNetwork.program`.

    Without values (on the meta device) every channel counts as sparse.
    """
    config, img_range = net.config, net.get_buffer("img_range")
    first, first_bias = _parameters(net.get_submodule("head.0"))
    first = first * img_range
    shift = -(first * net.get_buffer("rgb_mean")).sum(1, keepdim=True)
    collect, collect_bias = _parameters(net.get_submodule("collect.0"))
    tail, tail_bias = _parameters(net.get_submodule("tail.0"))
    head_conv = _parameters(net.get_submodule("head.2"))
    collect_conv = _parameters(net.get_submodule("collect.2"))
    blocks: list[Step[Tensor]] = []
    planes = ["head"]
    for k, block in enumerate(net.blocks):
        blocks += _block_steps(block, k, planes[-1])
        planes.append(f"block{k}")
    return Program(
        config.num_in_ch,
        config.num_out_ch,
        config.upscale,
        config.num_block,
        (
            ImageConv("hidden", torch.cat([first, shift], 1), first_bias, RELU),
            Conv(("hidden",), "head", *head_conv, part="head"),
            *blocks,
            Collect(tuple(planes[1:]), "collected", collect.flatten(1), collect_bias, RELU),
            Conv(("collected",), "features", *collect_conv, part="collect"),
            Conv(("features", "head"), "residual", tail / img_range, tail_bias / img_range,
                 part="tail"),
            Upsample("residual", "bicubic", part="bicubic"),
        ),
    )  # fmt: skip


def _block_steps(block: nn.Module, k: int, x: str) -> list[Step[Tensor]]:
    """Return the steps of block `k` from plane `x` to plane `block{k}`."""
    sparse = logit_difference(block.get_parameter("ch_mask"), -1)[0, :, :, 0] > 0
    channels, layers = sparse.shape
    columns, bias = _parameters(block.get_submodule("fuse"))
    columns = columns.flatten(1).split(channels, 1)
    steps: list[Step[Tensor]] = [_hourglass(block.get_submodule("spa_mask"), k, x)]
    inputs, value = torch.arange(channels, device=sparse.device), x
    outputs, fuse = [], []
    for layer in range(layers):
        order = sparse[:, layer].long().argsort(stable=True)
        dense = 0 if sparse.is_meta else channels - int(sparse[:, layer].sum())
        weight = block.get_parameter(f"convs.{layer}.weight")
        out = f"block{k}.layer{layer}"
        steps.append(MaskedConv(value, out, k, weight[order][:, inputs], dense))
        fuse.append(columns[layer][:, order])
        outputs.append(out)
        inputs, value = order, out
    attention = _attention(block.get_submodule("attention"))
    steps.append(Fuse(tuple(outputs), f"block{k}", k, torch.cat(fuse, 1), bias, attention, add=x))
    return steps


def _hourglass(predictor: nn.Module, k: int, x: str) -> Hourglass[Tensor]:
    conv1 = _parameters(predictor.get_submodule("conv1"))
    conv2 = _parameters(predictor.get_submodule("conv2"))
    weight, bias = _parameters(predictor.get_submodule("deconv"))
    # Only the difference of the two logits decides, and the last layer is linear.
    return Hourglass(x, k, *conv1, *conv2, logit_difference(weight, 1), logit_difference(bias, 0))


def _attention(attention: nn.Module) -> Attention[Tensor]:
    squeeze, squeeze_bias = _parameters(attention.get_submodule("squeeze"))
    excite, excite_bias = _parameters(attention.get_submodule("excite"))
    return Attention(squeeze.flatten(1), squeeze_bias, excite.flatten(1), excite_bias)


def _parameters(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Return weight and bias."""
    return conv.get_parameter("weight"), conv.get_parameter("bias")
