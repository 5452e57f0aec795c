"""The masked-dense network for engines that run a fixed graph.

Such an engine computes every pixel and discards afterwards what the masks leave out. An SMSR in
evaluation does so too, but with hard masks it takes little more than a network without masks: at
important pixels all outputs see all inputs, which is one dense convolution; elsewhere dense outputs
see dense inputs, which is a second convolution of those channels alone, of which a trained network
has few or none.
"""

from __future__ import annotations

import copy
from functools import singledispatch
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.masked import MaskedNetwork, MaskedOutput
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.smsr_block import SparseMaskModule


class MaskedDense(nn.Module):
    """A network with masks in evaluation, in the form of `with_fixed_masks`; equal up to rounding.

    Args:
        net: The network, which is left as it is.
        threshold: A pixel is important where logit 1 − logit 0 exceeds this.
    """

    def __init__(self, net: MaskedNetwork, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold
        self.net = with_fixed_masks(copy.deepcopy(net).requires_grad_(False).eval())
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map lq images (B, num_in_ch, H, W), 0…1, to sr and its masks, (B, K, H, W) bool."""
        out = cast(MaskedOutput, self.net(x, threshold=self.threshold, return_masks=True))
        return out.sr, out.spa_mask > 0


@singledispatch
def with_fixed_masks(net: MaskedNetwork) -> MaskedNetwork:
    """Return a network, which may change, so that its channel masks cost a graph nothing.

    As it is, unless something is registered for its class.
    """
    return net


@with_fixed_masks.register
def _(net: SMSR) -> SMSR:
    blocks = zip(net.smms(), net.channel_masks()[0], strict=True)
    net.blocks = nn.ModuleList(MaskedDenseBlock(block, mask > 0) for block, mask in blocks)
    return net


class MaskedDenseBlock(nn.Module):
    """Stands in an `SMSR` for a `SparseMaskModule`; in each layer dense channels come first."""

    def __init__(self, block: SparseMaskModule, sparse: Tensor) -> None:
        """Take over the weights of `block`, reordered by its sparse channels, (C, L) bool."""
        super().__init__()
        self.spa_mask, self.ch_mask = block.spa_mask, block.ch_mask
        self.attention = block.attention
        channels = sparse.shape[0]
        columns = block.fuse.weight.split(channels, 1)
        inputs, dense_in = torch.arange(channels), channels  # the block's input is all dense
        convs, fuse = [], []
        for layer, conv in enumerate(block.convs):
            outputs = sparse[:, layer].long().argsort(stable=True)
            dense_out = channels - int(sparse[:, layer].sum())
            weight = cast(Tensor, conv.weight)[outputs][:, inputs]
            convs.append(MaskedDenseConv(weight, dense_out, dense_in))
            fuse.append(columns[layer][:, outputs])
            inputs, dense_in = outputs, dense_out
        self.convs = nn.ModuleList(convs)
        self.fuse = block.fuse
        self.fuse.weight = nn.Parameter(torch.cat(fuse, 1), requires_grad=False)

    def forward(self, x: Tensor, spa_mask: Tensor, ch_mask: Tensor) -> Tensor:
        """Compute the block as `SparseMaskModule` does; `ch_mask` is known and not used."""
        feature, features = x, []
        for conv in self.convs:
            feature = conv(feature, spa_mask)
            features.append(feature)
        return x + self.attention(self.fuse(torch.cat(features, 1)))


class MaskedDenseConv(nn.Module):
    """A sparse mask convolution with hard masks, and its ReLU.

    Args:
        weight: (C, C, 3, 3), dense channels first.
        dense_out, dense_in: The number of dense channels.
    """

    def __init__(self, weight: Tensor, dense_out: int, dense_in: int) -> None:
        super().__init__()
        self.dense_out = dense_out
        self.every = _conv3x3(weight)
        #: Where no sparse input exists, dense outputs see all that there is, …
        self.inputs_are_dense = dense_in == weight.shape[1]
        #: … or dense inputs by a convolution of their own, or nothing.
        self.dense = None
        if dense_out and dense_in and not self.inputs_are_dense:
            self.dense = _conv3x3(weight[:dense_out, :dense_in])

    def forward(self, x: Tensor, spa_mask: Tensor) -> Tensor:
        """Map (B, C, H, W) and the mask (B, 1, H, W), 0 or 1, to (B, C, H, W)."""
        every = self.every(x)
        sparse = every * spa_mask
        if self.dense is not None:
            elsewhere = self.dense(x[:, : self.dense.in_channels])
            dense = torch.where(spa_mask > 0, every[:, : self.dense_out], elsewhere)
        elif self.inputs_are_dense and self.dense_out:
            dense = every[:, : self.dense_out]
        else:
            return F.relu(sparse)
        return F.relu(torch.cat([dense, sparse[:, self.dense_out :]], 1))


def _conv3x3(weight: Tensor) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False, device="meta")
    conv.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    return conv
