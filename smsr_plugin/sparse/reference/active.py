"""The active set of a block: its important pixels and where their neighbours are stored.

Feature maps are kept as rows, one pixel's channels each, in the order (b, y, x): a map of P pixels
is a (P + 1, C) matrix whose last row is zero and stands for everything outside the image. Sparse
channels exist at active pixels only and are kept as A + 2 rows: row A is zero again, and row A + 1
is what every pixel holds that is not active.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
