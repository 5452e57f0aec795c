"""The multiply-adds and activations of a network with masks, counted from its program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import Collect, Conv, Fuse, Hourglass, ImageConv, MaskedConv
from smsr_plugin.archs.tile_steps import Blend, DecideTiles, LocalAttention

#: Pixels of an hourglass's inner resolution per lq pixel: it pools by 2 in both directions.
INNER_PIXELS = 1 / 4
#: Pixels after the predictor of tiles' first stride, and for each tile.
HALF_PIXELS, TILES = 1 / 4, 1 / 16
#: Positions of a local attention's two coarse maps per lq pixel, far from the image's edges.
REDUCED_PIXELS, POOLED_PIXELS = 1 / 4, 1 / 36
#: An hourglass gives the logits of two classes; the program holds their difference.
CLASSES = 2
#: By how much a mean of ones in float32 may exceed 1.
DENSITY_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Count:
    """What is counted for one image: (every_pixel + Σ at_important·density)·pixels + per_image.

    Attributes:
        every_pixel: For each lq pixel.
        at_important: For each important pixel of each mask, K numbers.
        per_image: Whatever the size of the image.
    """

    every_pixel: float
    at_important: tuple[float, ...]
    per_image: int

    def at(self, spa_densities: Sequence[float], lq_pixels: int) -> int:
        """Return the sum for one image; see `MaskedCost.macs`."""
        important = zip(self.at_important, spa_densities, strict=True)
        per_pixel = self.every_pixel + sum(count * density for count, density in important)
        return round(per_pixel * lq_pixels) + self.per_image


@dataclass(frozen=True)
class MaskedCost:
    """What a network with masks costs, given the share of important pixels of each mask.

    Attributes:
        of_macs: Multiply-adds.
        of_activations: Values that convolutions put out.
        parts: Multiply-adds for each lq pixel that every pixel needs, by part of the network.
        dense_channels: Of each masked convolution of each mask.
    """

    of_macs: Count
    of_activations: Count
    parts: Mapping[str, float]
    dense_channels: tuple[tuple[int, ...], ...]

    def macs(self, spa_densities: Sequence[float], lq_pixels: int) -> int:
        """Return the multiply-adds of one image.

        Args:
            spa_densities: For each mask the share of important pixels, in 0…1.
            lq_pixels: H·W of the lq image. With an odd side an hourglass works on the padded image,
                at most one row and one column more, which is not counted.

        Raises:
            ValueError: If the densities do not fit.
        """
        self._check(spa_densities)
        return self.of_macs.at(spa_densities, lq_pixels)

    def activations(self, spa_densities: Sequence[float], lq_pixels: int) -> int:
        """Return the values that the convolutions put out for one image; see `macs`.

        Dense channels of masked convolutions count at every pixel, sparse ones at important pixels.
        """
        self._check(spa_densities)
        return self.of_activations.at(spa_densities, lq_pixels)

    def dense_macs(self, lq_pixels: int) -> int:
        """Return the multiply-adds of one image with every channel and pixel computed."""
        return self.of_macs.at([1] * len(self.of_macs.at_important), lq_pixels)

    def _check(self, spa_densities: Sequence[float]) -> None:
        masks, highest = len(self.of_macs.at_important), 1 + DENSITY_TOLERANCE
        if len(spa_densities) != masks or not all(0 <= d <= highest for d in spa_densities):
            raise ValueError(
                f"expected {masks} spatial densities in 0…1, got {list(spa_densities)}"
            )


@dataclass
class _Sum:
    """A count on its way."""

    every_pixel: float = 0
    at_important: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    per_image: int = 0

    def count(self, masks: int) -> Count:
        at_important = tuple(self.at_important[mask] for mask in range(masks))
        return Count(self.every_pixel, at_important, self.per_image)


def masked_cost(program: Program[Any]) -> MaskedCost:
    """Count a program."""
    macs, activations = _Sum(), _Sum()
    parts: dict[str, float] = defaultdict(float)
    for step in program.steps:
        before = macs.every_pixel
        if isinstance(step, ImageConv):
            outputs, inputs = step.weight.shape[:2]
            macs.every_pixel += 9 * outputs * (inputs - 1)  # the channel of ones is a bias
            activations.every_pixel += outputs
        elif isinstance(step, Conv | Collect):
            outputs, inputs, *sides = step.weight.shape
            macs.every_pixel += outputs * inputs * (sides[0] * sides[1] if sides else 1)
            activations.every_pixel += outputs
        elif isinstance(step, Hourglass):
            _hourglass(step, macs, activations)
        elif isinstance(step, MaskedConv):
            _masked_conv(step, program.planes[step.x].dense, macs, activations)
        elif isinstance(step, DecideTiles):
            _tiles(step, macs, activations)
        elif isinstance(step, Blend):
            _blend(step, macs, activations)
        elif isinstance(step, LocalAttention):
            _local_attention(step, macs, activations)
        elif isinstance(step, Fuse):
            _fuse(step, [program.planes[x].dense for x in step.xs], macs, activations)
        if macs.every_pixel > before:
            parts[step.part] += macs.every_pixel - before
    masks = range(program.num_masks)
    dense = tuple(tuple(conv.dense for conv in program.masked_convs(mask)) for mask in masks)
    return MaskedCost(macs.count(len(masks)), activations.count(len(masks)), dict(parts), dense)


def _hourglass(step: Hourglass[Any], macs: _Sum, activations: _Sum) -> None:
    inner, outer = step.conv1.shape[:2]
    macs.every_pixel += 9 * (inner * outer + INNER_PIXELS * (inner * inner + CLASSES * inner))
    activations.every_pixel += inner * (1 + INNER_PIXELS) + CLASSES


def _masked_conv(step: MaskedConv[Any], dense_in: int, macs: _Sum, activations: _Sum) -> None:
    outputs, inputs = step.weight.shape[:2]
    macs.every_pixel += 9 * dense_in * step.dense
    macs.at_important[step.mask] += 9 * (inputs * outputs - dense_in * step.dense)
    activations.every_pixel += step.dense
    activations.at_important[step.mask] += outputs - step.dense


def _fuse(step: Fuse[Any], dense: Sequence[int], macs: _Sum, activations: _Sum) -> None:
    outputs, inputs = step.weight.shape
    macs.every_pixel += outputs * sum(dense)
    macs.at_important[step.mask] += outputs * (inputs - sum(dense))
    activations.every_pixel += outputs
    if step.attention is not None:
        middle = step.attention.squeeze.shape[0]
        macs.per_image += 2 * middle * outputs
        activations.per_image += middle + outputs


def _tiles(step: DecideTiles[Any], macs: _Sum, activations: _Sum) -> None:
    for weight, share in ((step.conv1, HALF_PIXELS), (step.conv2, TILES), (step.conv3, TILES)):
        outputs, inputs = weight.shape[:2]
        macs.every_pixel += 9 * share * outputs * inputs
        activations.every_pixel += share * outputs


def _blend(step: Blend[Any], macs: _Sum, activations: _Sum) -> None:
    outputs, inputs = step.substitute.shape
    important, elsewhere = outputs * step.weight.shape[1], outputs * inputs
    activations.every_pixel += outputs
    if step.narrow is not None:
        middle = step.narrow.conv.shape[0]
        elsewhere += middle * (9 * inputs + outputs)
        activations.every_pixel += middle + outputs
        activations.at_important[step.mask] -= middle + outputs
    macs.every_pixel += elsewhere
    macs.at_important[step.mask] += important - elsewhere


def _local_attention(step: LocalAttention[Any], macs: _Sum, activations: _Sum) -> None:
    middle, channels = step.squeeze.shape
    coarse = REDUCED_PIXELS + POOLED_PIXELS
    macs.every_pixel += middle * (2 * channels + middle) + 9 * middle**2 * coarse
    activations.every_pixel += middle * (2 + coarse) + channels
