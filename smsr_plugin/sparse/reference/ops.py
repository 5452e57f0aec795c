"""The operations of sparse inference in plain PyTorch: gather, matrix product, scatter.

They run on any device and dtype and define what a faster backend must compute.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Values gathered at a time: keeps the buffer of the matrix product within a core's cache share.
GATHER_VALUES = 1 << 21


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


def unpack3x3(weight: Tensor) -> Tensor:
    """Undo `pack3x3`."""
    return weight.unflatten(0, (3, 3, -1)).permute(3, 2, 0, 1)
