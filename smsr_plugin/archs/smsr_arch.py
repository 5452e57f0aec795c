"""SMSR: a network that learns where it need not compute.

Channel masks: 1 = sparse (computed at important pixels only), 0 = dense.
Spatial masks: 1 = important.

In training the masks are soft Gumbel samples, or hard with the sigmoid's gradient
(`straight_through`); in evaluation they are hard and every pixel is
computed nevertheless: this is the masked-dense oracle that `smsr_plugin.sparse` must agree with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_range, check_threshold
from smsr_plugin.archs.density import BEYOND
from smsr_plugin.archs.gumbel import (
    MaskNoise,
    hard_mask,
    logit_difference,
    soft_mask,
    straight_through_mask,
)
from smsr_plugin.archs.masked import (
    DensityNetwork,
    MaskedOutput,
    check_input,
    is_traced,
    program_of,
)
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.smsr_block import SparseMaskModule
from smsr_plugin.archs.smsr_program import PEAKS, peaks_shape, smsr_program
from smsr_plugin.config import DIV2K_RGB_MEAN, SMSRConfig

#: Of the first weights, against Kaiming's: hundreds of iterations have no time to shrink them.
CONV_GAIN, FUSE_GAIN, TAIL_GAIN, PREDICTOR_GAIN = 0.7, 0.3, 0.05, 0.5


def _every_channel_sparse(name: str, entry: Tensor) -> NDArray[np.float64]:
    """Return what an entry of the state dict counts as without values."""
    values = np.ones(entry.shape)
    if name.endswith("ch_mask"):
        values[..., 0] = 0
    return values


class SMSR(DensityNetwork):
    """Sparse Mask Super-Resolution network.

    Args:
        num_in_ch, num_out_ch, num_feat, num_layer, num_block, upscale, img_range, rgb_mean:
            see `smsr_plugin.config.SMSRConfig`.

    Attributes:
        feature_peaks: See `smsr_plugin.archs.smsr_program.PEAKS`, (K, 1 + L). It belongs to the
            weights and comes with them, or not: where they change, it is to be None.

    Raises:
        ValueError: If an option is out of range.
    """

    rgb_mean: Tensor
    img_range: Tensor
    feature_peaks: Tensor | None

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
        config = SMSRConfig(
            num_in_ch, num_out_ch, num_feat, num_layer, num_block, upscale, img_range, rgb_mean
        )
        # Never replaced, so that it may be narrower than the base's.
        self.config: SMSRConfig = config  # pyright: ignore[reportIncompatibleVariableOverride]
        # Saved with the weights, because weights are of use only with the range they were made for.
        self.register_buffer("rgb_mean", torch.tensor(config.rgb_mean).view(1, -1, 1, 1))
        self.register_buffer("img_range", torch.tensor(config.img_range))
        self.register_buffer(PEAKS, None)
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

    @property
    def optional_shapes(self) -> dict[str, tuple[int, ...]]:
        return {**super().optional_shapes, PEAKS: peaks_shape(self.config)}

    def program(self) -> Program[Tensor]:
        return program_of(self, partial(smsr_program, self.config), _every_channel_sparse)

    def smms(self) -> Sequence[SparseMaskModule]:
        """Return the blocks."""
        return cast(Sequence[SparseMaskModule], self.blocks)

    @torch.no_grad()
    def shift_logits(self, amount: Tensor) -> None:
        for block, value in zip(self.smms(), amount, strict=True):
            block.spa_mask.bias[1] -= value
        if self.density_curve is not None:
            self.density_curve -= amount[:, None]

    @torch.no_grad()
    def reset_logits(self) -> None:
        for block in self.smms():
            block.spa_mask.bias.zero_()

    def predictor_weights(self) -> Iterator[nn.Parameter]:
        for block in self.smms():
            yield from block.spa_mask.parameters()

    def fix_channel_masks(self) -> None:
        for block in self.smms():
            block.ch_mask.requires_grad_(False)

    @torch.no_grad()
    def first_weights(self) -> None:
        """See `DensityNetwork.first_weights`; all channels are sparse."""
        gains = {"tail.0": TAIL_GAIN}
        for k, block in enumerate(self.smms()):
            block.ch_mask.copy_(torch.tensor([-1.0, 1.0]))
            gains[f"blocks.{k}.fuse"] = FUSE_GAIN
            gains[f"blocks.{k}.spa_mask.deconv"] = PREDICTOR_GAIN
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight)
                module.weight *= gains.get(name, CONV_GAIN)
                if module.bias is not None:
                    module.bias.zero_()
        self.shift_logits(torch.full((len(self.blocks),), -BEYOND))

    def channel_masks(self, tau: float = 1.0, noise: Tensor | None = None) -> Tensor:
        """Return the channel masks of all blocks, (1, K, C, L): soft in training, else hard.

        A tie of the logits is dense. `noise` has the shape of the masks; None for hard ones.
        """
        logits = torch.stack([block.ch_mask for block in self.smms()], 1)
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
        for k, block in enumerate(self.smms()):
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
