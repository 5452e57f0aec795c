"""SMSR: a network that learns where it need not compute.

Channel masks: 1 = sparse (computed at important pixels only), 0 = dense.
Spatial masks: 1 = important.

In training the masks are soft Gumbel samples, or hard with the sigmoid's gradient
(`straight_through`); in evaluation they are hard and every pixel is
computed nevertheless: this is the masked-dense oracle that `smsr_plugin.sparse` must agree with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_range, check_threshold
from smsr_plugin.archs.density import POINTS, logits_at
from smsr_plugin.archs.gumbel import (
    MaskNoise,
    hard_mask,
    logit_difference,
    soft_mask,
    straight_through_mask,
)
from smsr_plugin.archs.masked import (
    MaskedNetwork,
    MaskedOutput,
    check_input,
    is_traced,
)
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.smsr_program import smsr_program
from smsr_plugin.config import DIV2K_RGB_MEAN, SMSRConfig


class SpatialMask(nn.Module):
    """Hourglass that predicts a block's spatial mask logits from its input."""

    def __init__(self, config: SMSRConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(config.num_feat, config.mask_feat, 3, padding=1)
        self.conv2 = nn.Conv2d(config.mask_feat, config.mask_feat, 3, padding=1)
        self.deconv = nn.ConvTranspose2d(
            config.mask_feat, 2, 3, stride=2, padding=1, output_padding=1
        )

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
        spa_mask = spa_mask.to(x.dtype)
        if ch_mask is None:
            return self._all_sparse(x, spa_mask)
        ch_mask = ch_mask[0].to(x.dtype)
        feature, features, dense_in = x, [], None
        for layer, conv in enumerate(self.convs):
            dense_out = 1 - ch_mask[:, layer]
            feature = F.relu_(sparse_mask_conv(feature, conv.weight, spa_mask, dense_out, dense_in))
            features.append(feature)
            dense_in = dense_out
        return x + self.attention(conv_of_concatenation(self.fuse, features))

    def _all_sparse(self, x: Tensor, spa_mask: Tensor) -> Tensor:
        feature, features = x, []
        for conv in self.convs:
            feature = F.relu_(conv(feature) * spa_mask)
            features.append(feature)
        return x + self.attention(conv_of_concatenation(self.fuse, features))


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


def _values(name: str, entry: Tensor) -> NDArray[np.float64]:
    """Return an entry of the state dict as an array.

    Without values (on the meta device) every channel counts as sparse.
    """
    if not entry.is_meta:
        return entry.detach().double().cpu().contiguous().numpy()
    values = np.ones(entry.shape)
    if name.endswith("ch_mask"):
        values[..., 0] = 0
    return values


class SMSR(MaskedNetwork):
    """Sparse Mask Super-Resolution network.

    Args:
        num_in_ch, num_out_ch, num_feat, num_layer, num_block, upscale, img_range, rgb_mean:
            see `smsr_plugin.config.SMSRConfig`.

    Raises:
        ValueError: If an option is out of range.
    """

    config: SMSRConfig

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_layer: int = 4,
        num_block: int = 5,
        upscale: int = 2,
        img_range: float = 1.0,
        rgb_mean: tuple[float, ...] = DIV2K_RGB_MEAN,
    ) -> None:
        super().__init__()
        self.config = config = SMSRConfig(
            num_in_ch, num_out_ch, num_feat, num_layer, num_block, upscale, img_range, rgb_mean
        )
        # Saved with the weights, because weights are of use only with the range they were made for.
        self.register_buffer("rgb_mean", torch.tensor(config.rgb_mean).view(1, -1, 1, 1))
        self.register_buffer("img_range", torch.tensor(config.img_range))
        #: See `smsr_plugin.archs.density`, (K, POINTS); None unless trained with a target density.
        self.register_buffer("density_curve", None)
        self.head = nn.Sequential(
            nn.Conv2d(num_in_ch, num_feat, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(num_feat, num_feat, 3, padding=1),
        )
        self.blocks = nn.ModuleList(SparseMaskModule(config) for _ in range(num_block))
        self.collect = nn.Sequential(
            nn.Conv2d(num_feat * num_block, num_feat, 1),
            nn.ReLU(),
            nn.Conv2d(num_feat, num_feat, 3, padding=1),
        )
        self.tail = nn.Sequential(
            nn.Conv2d(num_feat, num_out_ch * upscale**2, 3, padding=1),
            nn.PixelShuffle(upscale),
        )

    @classmethod
    def from_config(cls, config: SMSRConfig) -> SMSR:
        """Build the network that `config` describes, with fresh weights."""
        return cls(**config.to_dict())

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # Weights come with a curve or without.
        if prefix + "density_curve" in state_dict:
            if self.density_curve is None:
                shape = self.config.num_block, POINTS
                self.density_curve = self.rgb_mean.new_zeros(shape)
        else:
            self.density_curve = None
        super()._load_from_state_dict(state_dict, prefix, *args)

    def program(self) -> Program[Tensor]:
        like = self.rgb_mean
        state = {name: _values(name, value) for name, value in self.state_dict().items()}
        program = smsr_program(self.config, state)
        return program.map(
            lambda _, weight: (
                torch.empty(weight.shape, dtype=like.dtype, device="meta")
                if like.is_meta
                else torch.from_numpy(weight).to(like.device, like.dtype)
            )
        )

    @torch.no_grad()
    def shift_logits(self, amount: Tensor) -> None:
        """Subtract an amount from the logits of each block, (K,): the density falls as it rises."""
        for block, value in zip(self.blocks, amount, strict=True):
            block.spa_mask.deconv.bias[1] -= value
        if self.density_curve is not None:
            self.density_curve -= amount[:, None]

    def set_density(self, density: float) -> None:
        """Let threshold 0 compute a share of the pixels, by the curves kept from training.

        It is the mean share over images like those of the training; each image has its own.

        Args:
            density: In 0…1; at 1 every pixel is computed.

        Raises:
            ValueError: If the network has no curves, or `density` is outside 0…1.
        """
        self.shift_logits(logits_at(self.density_curve, density))

    def channel_masks(self, tau: float = 1.0, noise: Tensor | None = None) -> Tensor:
        """Return the channel masks of all blocks, (1, K, C, L): soft in training, else hard.

        A tie of the logits is dense. `noise` has the shape of the masks; None for hard ones.
        """
        logits = torch.stack([block.ch_mask for block in self.blocks], 1)
        difference = logit_difference(logits, -1).squeeze(-1)
        return hard_mask(difference) if noise is None else soft_mask(difference, tau, noise)

    def forward(
        self,
        x: Tensor,
        tau: float = 1.0,
        threshold: float = 0.0,
        spa_mask: Tensor | None = None,
        return_masks: bool = False,
        noise: MaskNoise | None = None,
        straight_through: bool = False,
    ) -> Tensor | MaskedOutput:
        """Super-resolve a batch; see `MaskedNetwork.forward`."""
        check_input("SMSR", x, self.config, spa_mask)
        if not self.training and not is_traced():
            check_range("SMSR", x)
            check_threshold(threshold)
        x0 = (x - self.rgb_mean) * self.img_range
        head = feature = self.head(x0)
        if not self.training or straight_through:
            noise = None
        elif noise is None:
            noise = self.draw_noise(x)
        ch_masks = self.channel_masks(tau, noise and noise.ch)
        # Only where it saves time: what is recorded as a graph must not depend on values.
        all_sparse = self.training and straight_through and bool(ch_masks.all())
        spa_masks, all_logits, features = [], [], []
        for k, block in enumerate(self.blocks):
            if spa_mask is not None:
                block_mask = spa_mask[:, k : k + 1]
            else:
                logits = block.spa_mask(feature)
                all_logits.append(logits)
                if noise is not None:
                    block_mask = soft_mask(logits, tau, noise.spa[:, k : k + 1])
                elif self.training:
                    block_mask = straight_through_mask(logits)
                else:
                    block_mask = hard_mask(logits, threshold)
            feature = block(feature, block_mask, None if all_sparse else ch_masks[:, k])
            spa_masks.append(block_mask)
            features.append(feature)
        residual = self.tail(self.collect(torch.cat(features, 1)) + head)
        # The bicubic upsample is computed in the input's precision also under autocast.
        base = F.interpolate(x0, scale_factor=self.config.upscale, mode="bicubic")
        sr = (base + residual) / self.img_range + self.rgb_mean
        if not return_masks:
            return sr
        logits = torch.cat(all_logits, 1) if all_logits else None
        return MaskedOutput(sr, torch.cat(spa_masks, 1), ch_masks, logits)
