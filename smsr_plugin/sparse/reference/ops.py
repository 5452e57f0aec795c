"""The operations of sparse inference in plain PyTorch: gather, matrix product, scatter.

They run on any device and dtype and define what a faster backend must compute.

Feature maps are kept as rows, one pixel's channels each, in the order (b, y, x): a map of P pixels
is a (P + 1, C) matrix whose last row is zero and stands for everything outside the image. Sparse
channels exist at active pixels only and are kept as A + 2 rows: row A is zero again, and row A + 1
is what every pixel holds that is not active.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: Values gathered at a time: keeps the buffer of the matrix product within a core's cache share.
GATHER_VALUES = 1 << 21


@dataclass(frozen=True)
class ActiveSet:
    """The important pixels of a batch of masks; computed once, shared by all layers of a block.

    Attributes:
        pixels: (A,) int64, row of each active pixel among the P pixels of the batch, ascending.
        map_taps: (A, 9) int64, rows of the 3×3 neighbours in a full map; P outside the image.
        active_taps: (A, 9) int64, rows of the 3×3 neighbours among the active pixels; A outside
            the image, A + 1 where the neighbour is not active.
    """

    pixels: Tensor
    map_taps: Tensor
    active_taps: Tensor

    def __len__(self) -> int:
        return self.pixels.shape[0]

    @classmethod
    def from_mask(cls, important: Tensor) -> ActiveSet:
        """Find the active pixels of `important`, (B, H, W) of bool."""
        batch, height, width = important.shape
        total = batch * height * width
        pixels = important.reshape(-1).nonzero().squeeze(1)
        step = torch.arange(-1, 2, device=important.device)
        y = (pixels // width % height).view(-1, 1, 1) + step.view(1, 3, 1)
        x = (pixels % width).view(-1, 1, 1) + step.view(1, 1, 3)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        offset = step.view(1, 3, 1) * width + step.view(1, 1, 3)
        map_taps = torch.where(inside, pixels.view(-1, 1, 1) + offset, total).flatten(1)
        rank = torch.full((total + 1,), len(pixels) + 1, device=important.device)
        rank[total] = len(pixels)
        rank[pixels] = torch.arange(len(pixels), device=important.device)
        return cls(pixels, map_taps, rank[map_taps])


def with_zero_row(rows: Tensor) -> Tensor:
    """Append the zero row that stands for pixels outside the image, (P, C) → (P + 1, C)."""
    # Not F.pad: PyTorch 2.9 refuses rows without channels.
    return torch.cat([rows, rows.new_zeros(1, rows.shape[1])])


def as_rows(feature: Tensor) -> Tensor:
    """View or copy (B, C, H, W) as (P, C) rows, without the zero row."""
    return feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1])


def as_map(rows: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """View (P, C) rows as (B, C, H, W) in channels-last memory; `shape` is (B, H, W)."""
    return rows.view(*shape, -1).permute(0, 3, 1, 2)


def conv3x3_at(rows: Tensor, taps: Tensor, weight: Tensor) -> Tensor:
    """3×3 convolution at a list of pixels.

    Args:
        rows: (P + 1, C_in), the last row zero.
        taps: (A, 9), rows of each output pixel's neighbours.
        weight: (9·C_in, C_out), packed by `pack3x3`.

    Returns:
        (A, C_out).
    """
    count, (depth, width) = taps.shape[0], weight.shape
    if 0 in (count, depth, width):
        return rows.new_zeros(count, width)
    out = rows.new_empty(count, width)
    step = max(1, GATHER_VALUES // depth)
    for start in range(0, count, step):
        part = taps[start : start + step]
        gathered = rows.index_select(0, part.reshape(-1)).view(part.shape[0], depth)
        torch.mm(gathered, weight, out=out[start : start + step])
    return out


def conv3x3(rows: Tensor, shape: tuple[int, int, int], weight: Tensor) -> Tensor:
    """3×3 convolution at every pixel: (P, C_in) rows and a (C_out, C_in, 3, 3) kernel → (P, C_out).

    No input or no output channels is a valid, empty product.
    """
    if 0 in weight.shape:
        return rows.new_zeros(rows.shape[0], weight.shape[0])
    return as_rows(F.conv2d(as_map(rows, shape), weight, padding=1))


def pack3x3(weight: Tensor) -> Tensor:
    """Reorder a (C_out, C_in, 3, 3) kernel for `conv3x3_at`: (9·C_in, C_out), taps outermost."""
    return weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()
