"""A masked convolution: D→D everywhere; D→S, S→D and S→S at active pixels."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.steps import MaskedConv, Slope
from smsr_plugin.sparse.reference.ops import ActiveSet, conv3x3, conv3x3_at, pack3x3, with_zero_row


class Rows(NamedTuple):
    """A masked plane: its dense channels at every pixel, its sparse ones at active pixels."""

    dense: Tensor  #: (P + 1, D), the last row zero.
    sparse: Tensor  #: (A + 2, S), row A zero, row A + 1 that of pixels which are not active.


class SplitConv:
    """The kernel of a masked convolution, split by output class and input class."""

    def __init__(self, step: MaskedConv[Tensor], dense_in: int) -> None:
        """Split a step's kernel, `dense_in` of whose inputs are dense."""
        d_weight, s_weight = step.weight[: step.dense], step.weight[step.dense :]
        # D→D runs as a convolution over the whole map, the others as matrix products.
        self.d2d = d_weight[:, :dense_in].contiguous()
        self.d2s = pack3x3(s_weight[:, :dense_in])
        self.s2d = pack3x3(d_weight[:, dense_in:])
        self.s2s = pack3x3(s_weight[:, dense_in:])
        self.bias, self.rest, self.dense = step.bias, step.rest, step.dense
        self.slopes = step.slope, step.slope
        if isinstance(step.slope, Tensor):
            self.slopes = step.slope[: step.dense], step.slope[step.dense :]

    def __call__(self, x: Rows, active: ActiveSet, shape: tuple[int, int, int]) -> Rows:
        """Map the rows of a batch; `shape` is (B, H, W)."""
        dense = conv3x3(x.dense[:-1], shape, self.d2d)
        if len(active):
            dense.index_add_(0, active.pixels, conv3x3_at(x.sparse, active.active_taps, self.s2d))
        sparse = conv3x3_at(x.dense, active.map_taps, self.d2s)
        sparse += conv3x3_at(x.sparse, active.active_taps, self.s2s)
        if self.bias is not None:
            dense += self.bias[: self.dense]
            sparse += self.bias[self.dense :]
        dense, sparse = activated_(dense, self.slopes[0]), activated_(sparse, self.slopes[1])
        rest = sparse.new_zeros(sparse.shape[1]) if self.rest is None else self.rest
        return Rows(with_zero_row(dense), torch.cat([with_zero_row(sparse), rest[None]]))


def activated_(x: Tensor, slope: Slope[Tensor]) -> Tensor:
    """Apply the activation that a slope tells of, perhaps in place; channels are axis 1."""
    if slope is None:
        return x
    if isinstance(slope, Tensor):
        return F.prelu(x, slope) if len(slope) else x
    return x.relu_() if slope == 0 else F.leaky_relu_(x, slope)
