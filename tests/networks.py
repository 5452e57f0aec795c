"""Small networks and the paper's formulas, spelled out, as the tests' oracle."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.archs.peaks import choose_peaks
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.complexity.masked_cost import masked_cost
from smsr_plugin.sparse import SparseStats
from smsr_plugin.upscaling.network import Network
from smsr_plugin.upscaling.pytorch import PyTorchModel
from smsr_plugin.upscaling.tiles import OVERLAP


def tiny_smsr(seed: int = 0, **options) -> SMSR:
    """Return a small float64 SMSR in eval mode whose masks are neither empty nor full."""
    torch.manual_seed(seed)
    net = SMSR(**{"num_feat": 6, "num_layer": 3, "num_block": 2, **options}).double().eval()
    with torch.no_grad():  # logits of a fresh network barely leave zero
        for block in net.blocks:
            block.spa_mask.deconv.weight *= 30
    return net


@torch.no_grad()
def stats_of(net: MaskedNetwork, lq: Tensor, threshold: float = 0.0) -> SparseStats:
    """Return what the masks leave to compute of a network in eval mode."""
    masks = net(lq, threshold=threshold, return_masks=True).spa_mask > 0
    return SparseStats.of(masks, masked_cost(net.program()))


@torch.no_grad()
def with_peaks(net: SMSR) -> SMSR:
    """Give a network the peaks that an image asks for, so that it can run in 8 bits."""
    lq = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    net.feature_peaks = choose_peaks(net, lq)
    return net


def split_channels(net: SMSR, dense: list[list[list[int]]]) -> SMSR:
    """Make exactly the channels `dense[block][layer]` dense."""
    with torch.no_grad():
        for block, layers in zip(net.blocks, dense, strict=True):
            block.ch_mask[..., 0], block.ch_mask[..., 1] = -1, 1
            for layer, channels in enumerate(layers):
                block.ch_mask[0, channels, layer, 0] = 2
    return net


def literal_forward(
    net: SMSR,
    x: Tensor,
    spa_masks: Tensor,
    ch_masks: Tensor,
    planes: list[list[Tensor]] | None = None,
) -> Tensor:
    """Evaluate the network by the paper's four-term formula, term by term.

    Args:
        net: The network whose weights to use.
        x: (B, 3, H, W), 0…1.
        spa_masks: m, (B, K, H, W).
        ch_masks: s, (1, K, C, L).
        planes: Is given each block's input and its layers' outputs.
    """
    state = net.state_dict()
    mean = state["rgb_mean"]
    x0 = (x - mean) * state["img_range"]

    def conv(name, value, padding=1):
        return F.conv2d(value, state[f"{name}.weight"], state.get(f"{name}.bias"), padding=padding)

    f0 = conv("head.2", conv("head.0", x0).relu())
    feature, outputs = f0, []
    for k in range(net.config.num_block):
        block, m = f"blocks.{k}", spa_masks[:, k : k + 1]
        value, layers = feature, []
        d_in, s_in = 1, 0  # the block's input is dense
        for layer in range(net.config.num_layer):
            s = ch_masks[0, k, :, layer].view(1, -1, 1, 1)
            d = 1 - s
            g_d = conv(f"{block}.convs.{layer}", d_in * value)
            g_s = conv(f"{block}.convs.{layer}", s_in * value)
            value = (d * g_d + m * s * g_d + m * d * g_s + m * s * g_s).relu()
            layers.append(value)
            d_in, s_in = d, s
        if planes is not None:
            planes.append([feature, *layers])
        fused = conv(f"{block}.fuse", torch.cat(layers, 1), 0)
        pooled = fused.mean((2, 3), keepdim=True)
        hidden = conv(f"{block}.attention.squeeze", pooled, 0).relu()
        feature = feature + fused * conv(f"{block}.attention.excite", hidden, 0).sigmoid()
        outputs.append(feature)
    collected = conv("collect.2", conv("collect.0", torch.cat(outputs, 1), 0).relu()) + f0
    residual = F.pixel_shuffle(conv("tail.0", collected), net.config.upscale)
    base = F.interpolate(x0, scale_factor=net.config.upscale, mode="bicubic", align_corners=False)
    return (residual + base) / state["img_range"] + mean


def upscaling_network(net: Any, tile: int | None = None, overlap: int = OVERLAP, **options: Any):
    """Return a network ready to enlarge images in PyTorch; the options are PyTorchModel's."""
    return Network(PyTorchModel(net, **options), tile=tile, overlap=overlap)
