"""A block of the sparse network: D→D everywhere; D→S, S→D and S→S at active pixels."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.gumbel import hard_mask, logit_difference
from smsr_plugin.archs.smsr_arch import SparseMaskModule
from smsr_plugin.sparse.active import ActiveSet
from smsr_plugin.sparse.reference import (
    as_map,
    as_rows,
    conv3x3,
    conv3x3_at,
    pack3x3,
    unpack3x3,
    with_zero_row,
)


class SparseConv(nn.Module):
    """One layer's kernel split by output class and input class, with its share of the fuse.

    Channels are reordered within each class by the split itself, so that no index is needed when
    it runs: the next layer's input classes and the fuse are split by the same lists.
    """

    d2d: Tensor
    d2s: Tensor
    s2d: Tensor
    s2s: Tensor
    fuse_d: Tensor
    fuse_s: Tensor

    def __init__(self, weight: Tensor, fuse: Tensor, sparse_out: Tensor, sparse_in: Tensor) -> None:
        """Split a layer.

        Args:
            weight: (C, C, 3, 3).
            fuse: (C, C), the columns of the block's 1×1 fuse that see this layer's outputs.
            sparse_out: (C,) bool, the sparse channels of this layer.
            sparse_in: (C,) bool, those of the previous layer; all False for the first.
        """
        super().__init__()
        d_weight, s_weight = weight[~sparse_out], weight[sparse_out]
        # D→D runs as a convolution over the whole map, the others as matrix products.
        self.register_buffer("d2d", d_weight[:, ~sparse_in].clone())
        self.register_buffer("d2s", pack3x3(s_weight[:, ~sparse_in]))
        self.register_buffer("s2d", pack3x3(d_weight[:, sparse_in]))
        self.register_buffer("s2s", pack3x3(s_weight[:, sparse_in]))
        self.register_buffer("fuse_d", fuse[:, ~sparse_out].t().contiguous())
        self.register_buffer("fuse_s", fuse[:, sparse_out].t().contiguous())

    def kernel(self) -> Tensor:
        """Put the parts together again: (C_out, C_in, 3, 3), dense channels first in both."""
        dense = torch.cat([self.d2d, unpack3x3(self.s2d)], 1)
        sparse = torch.cat([unpack3x3(self.d2s), unpack3x3(self.s2s)], 1)
        return torch.cat([dense, sparse])

    def fuse(self) -> Tensor:
        """The layer's share of the fuse, (C_in, C_out), dense channels first."""
        return torch.cat([self.fuse_d, self.fuse_s])

    def forward(
        self, dense: Tensor, sparse: Tensor, active: ActiveSet, shape: tuple[int, int, int]
    ) -> tuple[Tensor, Tensor]:
        """Map the previous layer's dense (P + 1, D') and sparse (A + 1, S') rows to this one's."""
        dense_out = conv3x3(dense[:-1], shape, self.d2d)
        if len(active):
            dense_out.index_add_(0, active.pixels, conv3x3_at(sparse, active.active_taps, self.s2d))
        sparse_out = conv3x3_at(dense, active.map_taps, self.d2s)
        sparse_out += conv3x3_at(sparse, active.active_taps, self.s2s)
        return with_zero_row(dense_out.relu_()), with_zero_row(sparse_out.relu_())


class SparseBlock(nn.Module):
    """The sparse form of `SparseMaskModule`."""

    deconv_weight: Tensor
    deconv_bias: Tensor
    fuse_bias: Tensor

    def __init__(self, block: SparseMaskModule) -> None:
        super().__init__()
        self.mask_conv1 = block.spa_mask.conv1
        self.mask_conv2 = block.spa_mask.conv2
        # Only the difference of the two logits decides, and the last layer is linear.
        deconv = block.spa_mask.deconv
        self.register_buffer("deconv_weight", logit_difference(deconv.weight, 1).clone())
        self.register_buffer("deconv_bias", logit_difference(cast(Tensor, deconv.bias), 0).clone())
        self.squeeze, self.excite = block.attention.squeeze, block.attention.excite
        self.register_buffer("fuse_bias", cast(Tensor, block.fuse.bias).clone())

        channels = block.fuse.out_channels
        sparse = logit_difference(block.ch_mask, -1)[0, :, :, 0] > 0
        fuse = block.fuse.weight.flatten(1).split(channels, 1)
        sparse_in = sparse.new_zeros(channels)
        layers = []
        for layer, conv in enumerate(block.convs):
            sparse_out = sparse[:, layer]
            layers.append(SparseConv(conv.weight, fuse[layer], sparse_out, sparse_in))
            sparse_in = sparse_out
        self.layers = nn.ModuleList(layers)

    def predict_mask(self, feature: Tensor, threshold: float) -> Tensor:
        """Return the important pixels, (B, 1, H, W) of 0 and 1, of a (B, C, H, W) input."""
        height, width = feature.shape[-2:]
        if height % 2 or width % 2:
            feature = F.pad(feature, (0, width % 2, 0, height % 2), mode="replicate")
        hidden = F.avg_pool2d(F.relu(self.mask_conv1(feature)), 2)
        difference = F.conv_transpose2d(
            F.relu(self.mask_conv2(hidden)),
            self.deconv_weight,
            self.deconv_bias,
            stride=2,
            padding=1,
            output_padding=1,
        )
        return hard_mask(difference[..., :height, :width], threshold)

    def forward(self, feature: Tensor, spa_mask: Tensor) -> Tensor:
        """Compute the block: (B, C, H, W) input, (B, 1, H, W) hard mask → (B, C, H, W)."""
        batch, _, height, width = feature.shape
        shape = (batch, height, width)
        active = ActiveSet.from_mask(spa_mask[:, 0] > 0)
        dense = with_zero_row(as_rows(feature))
        sparse = dense.new_zeros(len(active) + 1, 0)
        # The 1×1 fuse is accumulated layer by layer; the L·C-channel concatenation never exists.
        fused = self.fuse_bias.repeat(batch * height * width, 1)
        fused_active = fused.new_zeros(len(active), fused.shape[1])
        for layer in self.layers:
            dense, sparse = layer(dense, sparse, active, shape)
            fused.addmm_(dense[:-1], layer.fuse_d)
            fused_active.addmm_(sparse[:-1], layer.fuse_s)
        fused.index_add_(0, active.pixels, fused_active)
        out = as_map(fused, shape)
        mean = out.mean((2, 3), keepdim=True)
        attention = torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))
        return torch.addcmul(feature, out, attention)
