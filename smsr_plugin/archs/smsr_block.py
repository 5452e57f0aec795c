"""The blocks of SMSR: mask prediction, sparse mask convolutions, fuse and attention."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.gumbel import logit_difference
from smsr_plugin.archs.masked import is_traced
from smsr_plugin.config import SMSRConfig


class SpatialMask(nn.Module):
    """Hourglass that predicts a block's spatial mask logits from its input."""

    def __init__(self, config: SMSRConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(config.num_feat, config.mask_feat, 3, padding=1)
        self.conv2 = nn.Conv2d(config.mask_feat, config.mask_feat, 3, padding=1)
        self.deconv = nn.ConvTranspose2d(
            config.mask_feat, 2, 3, stride=2, padding=1, output_padding=1
        )

    @property
    def bias(self) -> Tensor:
        """What is added to the logits of the two classes."""
        return self.deconv.get_parameter("bias")

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to logit 1 − logit 0, (B, 1, H, W)."""
        height, width = x.shape[-2:]
        # Pooling by 2 and back needs even sizes: repeat the last row or column, crop afterwards.
        # A traced graph is to hold for other sizes too, so there the padding may be 0 wide.
        if is_traced() or height % 2 or width % 2:
            x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        x = F.avg_pool2d(F.relu(self.conv1(x)), 2)
        logits = self.deconv(F.relu(self.conv2(x)))
        return logit_difference(logits, 1)[..., :height, :width]


class ChannelAttention(nn.Module):
    """Scales each channel by a function of all channels' means (squeeze and excitation)."""

    def __init__(self, config: SMSRConfig) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(config.num_feat, config.attention_feat, 1)
        self.excite = nn.Conv2d(config.attention_feat, config.num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))


class SparseMaskModule(nn.Module):
    """SMM: mask prediction, L sparse mask convolutions, fuse, attention, residual."""

    def __init__(self, config: SMSRConfig) -> None:
        super().__init__()
        channels, layers = config.num_feat, config.num_layer
        self.spa_mask = SpatialMask(config)
        self.ch_mask = nn.Parameter(torch.empty(1, channels, layers, 2))
        if not self.ch_mask.is_meta:  # there it would do nothing, but import PyTorch's compiler
            nn.init.normal_(self.ch_mask)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(layers)
        )
        self.fuse = nn.Conv2d(channels * layers, channels, 1)
        self.attention = ChannelAttention(config)

    def forward(self, x: Tensor, spa_mask: Tensor, ch_mask: Tensor | None) -> Tensor:
        """Compute the block from its input and its masks.

        Args:
            x: (B, C, H, W).
            spa_mask: (B, 1, H, W) in 0…1, 1 = important.
            ch_mask: (1, C, L) in 0…1, 1 = sparse; None: all are sparse, which needs one
                convolution a layer in place of two.
        """
        outputs = self.outputs(x, spa_mask, ch_mask)
        return x + self.attention(conv_of_concatenation(self.fuse, outputs))

    def outputs(self, x: Tensor, spa_mask: Tensor, ch_mask: Tensor | None) -> list[Tensor]:
        """Return each layer's outputs, (B, C, H, W), 0 where they are masked; see `forward`."""
        spa_mask = spa_mask.to(x.dtype)
        outputs, dense_in = [], None
        for layer, conv in enumerate(self.convs):
            if ch_mask is None:
                x = F.relu_(conv(x) * spa_mask)
            else:
                dense_out = 1 - ch_mask[0, :, layer].to(x.dtype)
                weight = cast(Tensor, conv.weight)
                x = F.relu_(sparse_mask_conv(x, weight, spa_mask, dense_out, dense_in))
                dense_in = dense_out
            outputs.append(x)
        return outputs


def sparse_mask_conv(
    x: Tensor, weight: Tensor, spa_mask: Tensor, dense_out: Tensor, dense_in: Tensor | None
) -> Tensor:
    """Sparse mask convolution before its ReLU (D→D + D→S + S→D + S→S).

    With d, s = 1 − d for the output channels and d', s' for the input channels, the paper's sum
    d·(W∗d'x) + m·s·(W∗d'x) + m·d·(W∗s'x) + m·s·(W∗s'x) is, since s + d = 1,

        (dWd')∗x + m · ((W − dWd')∗x):

    D→D at every pixel, all the rest at important ones. Scaling the kernel in place of the features
    leaves no masked feature maps to compute, or to keep for the backward pass.

    Args:
        x: (B, C_in, H, W).
        weight: W, (C_out, C_in, 3, 3).
        spa_mask: m, (B, 1, H, W).
        dense_out: d, (C_out,), the share of density of each output channel.
        dense_in: d', (C_in,), that of the previous layer's outputs; None if all inputs are dense.
    """
    if dense_in is None:
        every = F.conv2d(x, weight, padding=1)
        return every * torch.lerp(dense_out.view(-1, 1, 1), spa_mask.new_ones(()), spa_mask)
    d2d_weight = weight * dense_out.view(-1, 1, 1, 1) * dense_in.view(-1, 1, 1)
    d2d = F.conv2d(x, d2d_weight, padding=1)
    return torch.addcmul(d2d, spa_mask, F.conv2d(x, weight - d2d_weight, padding=1))


def conv_of_concatenation(conv: nn.Conv2d, parts: list[Tensor]) -> Tensor:
    """Return `conv(torch.cat(parts, 1))` of a 1×1 convolution, without the concatenation."""
    weights = conv.weight.split([part.shape[1] for part in parts], 1)
    out = F.conv2d(parts[0], weights[0], conv.bias)
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        out += F.conv2d(part, weight)
    return out
