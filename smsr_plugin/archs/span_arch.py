"""SPAN: a fast dense network whose attention has no weights, for comparison.

Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPRW 2024,
arXiv 2311.12770. The modules have the published checkpoints' names.

A published convolution was trained as a 1×1, a 3×3 and a 1×1 one after the other, beside a 1×1 one.
That is linear, and runs as one 3×3 convolution. Here it is one from the beginning: what a
checkpoint has of the others is folded into it on loading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_batch, check_counts

#: Of the published networks.
RGB_MEAN = (0.4488, 0.4371, 0.4040)
NUM_BLOCK = 6


class FoldedConv(nn.Module):
    """A 3×3 convolution that reads a published one, folded or not."""

    def __init__(self, num_in_ch: int, num_out_ch: int) -> None:
        super().__init__()
        self.eval_conv = nn.Conv2d(num_in_ch, num_out_ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.eval_conv(x)

    def _load_from_state_dict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state_dict: Any, prefix: str, *args: Any
    ) -> None:
        _fold(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _fold(state: dict[str, Tensor], prefix: str) -> None:
    """Replace what a convolution was trained with by the one that it equals, if all of it is there.

    The published network runs what these entries say, whatever its `eval_conv` holds.
    """
    names = [
        [f"{prefix}{name}.{kind}" for name in ("conv.0", "conv.1", "conv.2", "sk")]
        for kind in ("weight", "bias")
    ]
    if not all(name in state for kind in names for name in kind):
        return
    (w1, w2, w3, w_skip), (b1, b2, b3, b_skip) = (
        [state.pop(name).double() for name in kind] for kind in names
    )
    first, last = w1[:, :, 0, 0], w3[:, :, 0, 0]
    weight = torch.einsum("om,mihw,ij->ojhw", last, w2, first)
    weight[:, :, 1, 1] += w_skip[:, :, 0, 0]
    bias = last @ (w2.sum((2, 3)) @ b1 + b2) + b3 + b_skip
    for kind, value in (("weight", weight), ("bias", bias)):
        state[f"{prefix}eval_conv.{kind}"] = value.float()


class SPAB(nn.Module):
    """Swift parameter-free attention block: three convolutions and a residual, weighed by σ − ½."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.c1_r = FoldedConv(num_feat, num_feat)
        self.c2_r = FoldedConv(num_feat, num_feat)
        self.c3_r = FoldedConv(num_feat, num_feat)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output and its first features."""
        first = F.silu(self.c1_r(x))
        last = self.c3_r(F.silu(self.c2_r(first)))
        return (last + x) * (torch.sigmoid(last) - 0.5), first


class SPAN(nn.Module):
    """Swift Parameter-free Attention Network.

    Args:
        num_in_ch: Channels of the lq image.
        num_out_ch: Channels of the output.
        num_feat: Feature channels.
        upscale: At least 1.
        img_range: The features are of x − `rgb_mean`, times this.
        rgb_mean: For each channel of the lq image.

    Raises:
        ValueError: If an option is out of range.
    """

    rgb_mean: Tensor

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 48,
        upscale: int = 2,
        img_range: float = 255.0,
        rgb_mean: Sequence[float] = RGB_MEAN,
    ) -> None:
        super().__init__()
        counts = {"num_in_ch": num_in_ch, "num_out_ch": num_out_ch, "num_feat": num_feat}
        check_counts("SPAN", **counts, upscale=upscale)
        if len(rgb_mean) != num_in_ch:
            raise ValueError(f"rgb_mean: expected {num_in_ch} values, got {len(rgb_mean)}")
        self.num_in_ch, self.img_range = num_in_ch, img_range
        mean = torch.tensor(rgb_mean).view(1, -1, 1, 1)
        self.register_buffer("rgb_mean", mean, persistent=False)
        self.conv_1 = FoldedConv(num_in_ch, num_feat)
        for number in range(1, NUM_BLOCK + 1):
            self.add_module(f"block_{number}", SPAB(num_feat))
        self.conv_2 = FoldedConv(num_feat, num_feat)
        self.conv_cat = nn.Conv2d(4 * num_feat, num_feat, 1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(num_feat, num_out_ch * upscale**2, 3, padding=1), nn.PixelShuffle(upscale)
        )

    def folded(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a published state dict with its convolutions folded; another one as it is."""
        found = dict(state)
        for name, module in self.named_modules():
            if isinstance(module, FoldedConv):
                _fold(found, f"{name}.")
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Super-resolve (B, num_in_ch, H, W) to (B, num_out_ch, H·upscale, W·upscale)."""
        check_batch("SPAN", x, self.num_in_ch)
        head = feature = self.conv_1((x - self.rgb_mean) * self.img_range)
        outputs, first = [], head
        for number in range(1, NUM_BLOCK + 1):
            feature, first = self.get_submodule(f"block_{number}")(feature)
            outputs.append(feature)
        collected = torch.cat([head, self.conv_2(feature), outputs[0], first], 1)
        return self.upsampler(self.conv_cat(collected))
