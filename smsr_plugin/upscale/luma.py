"""Colour images for a network of one channel: luma through the network, chroma by bicubic.

As BasicSR's data sets with `color: y` have it: Y, Cb and Cr of ITU-R BT.601, Y in 16…235 of 255.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Y, Cb, Cr = `_FROM_RGB` · RGB + `_OFFSET`, all in 0…1.
_FROM_RGB = (
    torch.tensor(
        [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]],
        dtype=torch.float64,
    )
    / 255
)
_TO_RGB = torch.inverse(_FROM_RGB)
_OFFSET = torch.tensor([16.0, 128.0, 128.0], dtype=torch.float64) / 255


def luma_and_chroma(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Split RGB (B, 3, H, W) in 0…1 into Y (B, 1, H, W) and Cb, Cr (B, 2, H, W)."""
    ycbcr = _mix(rgb, _FROM_RGB) + _OFFSET.to(rgb).view(3, 1, 1)
    return ycbcr[:, :1], ycbcr[:, 1:]


def joined(luma: Tensor, chroma: Tensor) -> Tensor:
    """Return RGB (B, 3, H, W) of Y (B, 1, H, W) and of chroma (B, 2, h, w), which is enlarged."""
    larger = F.interpolate(chroma, size=luma.shape[2:], mode="bicubic", align_corners=False)
    ycbcr = torch.cat([luma, larger], 1) - _OFFSET.to(luma).view(3, 1, 1)
    return _mix(ycbcr, _TO_RGB)


def _mix(image: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", matrix.to(image), image)
