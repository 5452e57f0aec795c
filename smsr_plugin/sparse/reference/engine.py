"""Runs a program in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.gumbel import hard_mask
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.rlfn_arch import at_least_min_side
from smsr_plugin.archs.steps import (
    Attention,
    Blend,
    Collect,
    Conv,
    Decide,
    DecideTiles,
    Fuse,
    Hourglass,
    ImageConv,
    LocalAttention,
    MaskedConv,
    Upsample,
)
from smsr_plugin.archs.tile_predictor import detail_planes, even, of_tiles
from smsr_plugin.archs.tile_steps import CONV_STRIDE, POOL_SIZE, POOL_STRIDE
from smsr_plugin.sparse.reference.masked_conv import Rows, SplitConv, activated_
from smsr_plugin.sparse.reference.ops import ActiveSet, as_map, as_rows, with_zero_row


class ReferenceEngine:
    """A program ready to run, on the device and in the dtype of its weights."""

    def __init__(self, program: Program[Tensor]) -> None:
        self.program = program
        self.splits = {
            step.out: SplitConv(step, program.planes[step.x].dense)
            for step in program.steps
            if isinstance(step, MaskedConv)
        }

    def __call__(
        self, x: Tensor, spa_mask: Tensor | None, threshold: float
    ) -> tuple[Tensor, Tensor]:
        """Super-resolve a batch; see `smsr_plugin.sparse.backend.Backend`."""
        batch = _Batch(self, x, spa_mask, threshold)
        for number, step in enumerate(self.program.steps):
            _RUN[type(step)](batch, step)
            for name in step.reads:
                if self.program.last_reads[name] == number:
                    batch.planes.pop(name, None)
        assert batch.sr is not None  # the last step makes it
        return batch.sr, torch.stack([batch.masks[k] for k in range(self.program.num_masks)], 1)


class _Batch:
    """A batch on its way through a program.

    Attributes:
        lq: (B, num_in_ch, H, W).
        planes: What was computed: maps (B, C, H, W), or rows where masked.
        masks: By number, (B, H, W) bool.
        sr: The result.
    """

    def __init__(
        self, engine: ReferenceEngine, lq: Tensor, given: Tensor | None, threshold: float
    ) -> None:
        self.program, self.splits = engine.program, engine.splits
        self.lq, self.given, self.threshold = lq, given, threshold
        self.planes: dict[str, Tensor | Rows] = {}
        self.masks: dict[int, Tensor] = {}
        self.active: dict[int, ActiveSet] = {}
        self.sr: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, H, W)."""
        return len(self.lq), self.lq.shape[2], self.lq.shape[3]

    def map(self, name: str) -> Tensor:
        """Return a plane without sparse channels, as (B, C, H, W)."""
        plane = self.planes[name]
        return as_map(plane.dense[:-1], self.shape) if isinstance(plane, Rows) else plane

    def rows(self, name: str, mask: int) -> Rows:
        """Return a plane as rows of a mask."""
        plane = self.planes[name]
        if isinstance(plane, Rows) and plane.sparse.shape[1]:
            return plane
        dense = plane.dense if isinstance(plane, Rows) else with_zero_row(as_rows(plane))
        return Rows(dense, dense.new_zeros(len(self.active[mask]) + 2, 0))

    def image_conv(self, step: ImageConv[Tensor]) -> None:
        x = torch.cat([self.lq, torch.ones_like(self.lq[:, :1])], 1).to(step.weight.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        out = F.conv2d(x, step.weight, step.bias, padding=1)
        self.planes[step.out] = activated_(out, step.slope)

    def conv(self, step: Conv[Tensor]) -> None:
        x = self.map(step.xs[0])
        for name in step.xs[1:]:
            x = x + self.map(name)
        out = F.conv2d(x, step.weight, step.bias, padding=step.weight.shape[-1] // 2)
        if step.add is not None:
            out += self.map(step.add)
        self.planes[step.out] = activated_(out, step.slope)

    def decide(self, mask: int, difference: Callable[[], Tensor]) -> None:
        """Note a mask: as given, else from logit 1 − logit 0, (B, 1, H, W)."""
        if self.given is None:
            important = hard_mask(difference()[:, 0], self.threshold) > 0
        else:
            important = self.given[:, mask] > 0
        self.masks[mask], self.active[mask] = important, ActiveSet.from_mask(important)

    def decide_plane(self, step: Decide[Tensor]) -> None:
        self.decide(step.mask, lambda: self.map(step.x))

    def hourglass(self, step: Hourglass[Tensor]) -> None:
        self.decide(step.mask, lambda: _hourglass(step, self.map(step.x)))

    def decide_tiles(self, step: DecideTiles[Tensor]) -> None:
        scores = None if self.given is not None else tile_scores(step, self.lq)
        for number, mask in enumerate(step.masks):
            # Called at once.
            self.decide(mask, lambda number=number: scores[:, number : number + 1])  # pyright: ignore

    def masked_conv(self, step: MaskedConv[Tensor]) -> None:
        rows = self.rows(step.x, step.mask)
        self.planes[step.out] = self.splits[step.out](rows, self.active[step.mask], self.shape)

    def fuse(self, step: Fuse[Tensor]) -> None:
        """Sum up plane by plane; the concatenation never exists."""
        batch, height, width = self.shape
        active = self.active[step.mask]
        fused = step.bias.repeat(batch * height * width, 1)
        fused_active = fused.new_zeros(len(active), fused.shape[1])
        start = 0
        for name in step.xs:
            rows, plane = self.rows(name, step.mask), self.program.planes[name]
            dense, end = start + plane.dense, start + plane.channels
            fused.addmm_(rows.dense[:-1], step.weight[:, start:dense].t())
            fused_active.addmm_(rows.sparse[: len(active)], step.weight[:, dense:end].t())
            start = end
        fused.index_add_(0, active.pixels, fused_active)
        out = as_map(fused, self.shape)
        factor = out.new_ones(1) if step.attention is None else _factor(step.attention, out)
        added = out.new_zeros(1) if step.add is None else self.map(step.add)
        self.planes[step.out] = torch.addcmul(added, out, factor)

    def blend(self, step: Blend[Tensor]) -> None:
        active = self.active[step.mask]
        out = as_rows(skipped(step, self.map(step.x))).clone()
        total = out.new_zeros(len(active), step.weight.shape[1])
        for name in step.xs:
            rows = self.rows(name, step.mask)
            dense, sparse = rows.dense[active.pixels], rows.sparse[: len(active)]
            total += torch.cat([dense, sparse], 1)
        out[active.pixels] = torch.addmm(step.bias, total, step.weight.t())
        self.planes[step.out] = as_map(out, self.shape)

    def local_attention(self, step: LocalAttention[Tensor]) -> None:
        self.planes[step.out] = local_attention(step, self.map(step.x))

    def collect(self, step: Collect[Tensor]) -> None:
        weights = step.weight.split([self.program.planes[x].channels for x in step.xs], 1)
        out = step.bias.view(-1, 1, 1)
        for name, weight in zip(step.xs, weights, strict=True):
            out = out + F.conv2d(self.map(name), weight[..., None, None])
        self.planes[step.out] = activated_(out, step.slope)

    def upsample(self, step: Upsample[Tensor]) -> None:
        scale = self.program.upscale
        self.sr = F.pixel_shuffle(self.map(step.x), scale).to(self.lq.dtype)
        if step.base != "none":
            self.sr = self.sr + F.interpolate(self.lq, scale_factor=scale, mode=step.base)


_RUN: dict[type, Callable[[_Batch, Any], None]] = {
    ImageConv: _Batch.image_conv,
    Conv: _Batch.conv,
    Hourglass: _Batch.hourglass,
    Decide: _Batch.decide_plane,
    DecideTiles: _Batch.decide_tiles,
    MaskedConv: _Batch.masked_conv,
    Blend: _Batch.blend,
    LocalAttention: _Batch.local_attention,
    Fuse: _Batch.fuse,
    Collect: _Batch.collect,
    Upsample: _Batch.upsample,
}


def _hourglass(step: Hourglass[Tensor], feature: Tensor) -> Tensor:
    """Return logit 1 − logit 0, (B, 1, H, W), of features (B, C, H, W)."""
    height, width = feature.shape[-2:]
    if height % 2 or width % 2:
        feature = F.pad(feature, (0, width % 2, 0, height % 2), mode="replicate")
    hidden = F.avg_pool2d(F.relu(F.conv2d(feature, step.conv1, step.bias1, padding=1)), 2)
    hidden = F.relu(F.conv2d(hidden, step.conv2, step.bias2, padding=1))
    difference = F.conv_transpose2d(
        hidden, step.deconv, step.deconv_bias, stride=2, padding=1, output_padding=1
    )
    return difference[..., :height, :width]


def _factor(attention: Attention[Tensor], x: Tensor) -> Tensor:
    """Return the factor of each channel, (B, C, 1, 1)."""
    hidden = F.relu(F.linear(x.mean((2, 3)), attention.squeeze, attention.squeeze_bias))
    factor = torch.sigmoid(F.linear(hidden, attention.excite, attention.excite_bias))
    return factor[..., None, None]


def tile_scores(step: DecideTiles[Tensor], lq: Tensor) -> Tensor:
    """Return the score of each pixel's tile, (B, K, H, W), of lq images."""
    planes = detail_planes(lq).to(step.conv1.dtype)
    hidden = F.relu(F.conv2d(planes, step.conv1, step.bias1, stride=2, padding=1))
    hidden = F.relu(F.conv2d(hidden, step.conv2, step.bias2, stride=2, padding=1))
    worth = F.conv2d(hidden, step.conv3, step.bias3, padding=1)
    return of_tiles(even(worth), *lq.shape[2:])


def skipped(step: Blend[Tensor], x: Tensor) -> Tensor:
    """Return what a blend gives to pixels that are not important, at every pixel."""
    out = _product(x, step.substitute, step.substitute_bias)
    if (narrow := step.narrow) is not None:
        hidden = F.leaky_relu(F.conv2d(x, narrow.conv, narrow.bias, padding=1), narrow.slope)
        out = out + _product(hidden, narrow.widen)
    return out


def local_attention(step: LocalAttention[Tensor], x: Tensor) -> Tensor:
    """Scale (B, C, H, W) by a coarse view of its surroundings."""
    squeezed = _product(x, step.squeeze, step.squeeze_bias)
    coarse = F.conv2d(at_least_min_side(squeezed), step.reduce, step.reduce_bias, CONV_STRIDE)
    coarse = F.max_pool2d(coarse, POOL_SIZE, POOL_STRIDE)
    coarse = F.conv2d(coarse, step.refine, step.refine_bias, padding=1)
    coarse = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
    mixed = coarse + _product(squeezed, step.mix, step.mix_bias)
    return x * torch.sigmoid(_product(mixed, step.excite, step.excite_bias))


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x, weight[..., None, None], bias)
