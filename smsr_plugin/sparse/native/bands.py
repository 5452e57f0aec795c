"""A block's masked convolutions a band of rows at a time: only what they add to its input is whole.

The attention's factors are known when the last row of a block is done, not before. So a block takes
two passes. The first computes bands of its layers and keeps what their fuse makes of them, without
the factors. The second adds the factors times that to the block's input.

Each layer lags behind the one that it reads by a row of tiles. So what a convolution reads beyond
its band was computed before, no pixel is computed twice, and the last rows of each layer are kept
for the next band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.steps import Fuse, MaskedConv
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.attention import factors
from smsr_plugin.sparse.native.chains import Link
from smsr_plugin.sparse.native.layers import Fuse as FuseLayer
from smsr_plugin.sparse.native.layers import MaskedConv as ConvLayer
from smsr_plugin.sparse.native.operation import Image
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import TILE, Plane, rounded_up
from smsr_plugin.sparse.native.run import MaskLists, Run, all_pixels
from smsr_plugin.sparse.native.slots import Wanted

#: Rows of a band.
ROWS = 64


@dataclass(frozen=True)
class Band:
    """Rows of an image; they begin with a row of tiles."""

    start: int
    stop: int

    @property
    def height(self) -> int:
        """How many rows."""
        return self.stop - self.start

    def of(self, values: NDArray[Any], first: int = 0) -> NDArray[Any]:
        """Return the band's part of an array (..., rows, stride, channels of a line).

        As of a plane of so many rows, but that its border above and below holds what lies there.

        Args:
            values: A plane, or its rows from `first` on.
            first: A row of the image, whole tiles from its first one.
        """
        begin = self.start - first
        return values[..., begin : begin + rounded_up(self.height, TILE) + 2, :, :]


class Ring:
    """The last rows of a plane, the next ones in place of those that are not needed any more.

    A band may go on from the last row of the memory to the first. As kernels read neighbours at
    fixed offsets it is computed in two pieces then, and rows on either side of the seam are there
    twice.

    Args:
        plane: Memory for so many rows, a multiple of `TILE`.
        rows: How many.
    """

    def __init__(self, plane: Plane, rows: int) -> None:
        self._plane, self._rows = plane, rows
        plane[:, 0] = 0  # the border above the image

    def pieces(self, band: Band) -> Iterator[Band]:
        """Yield the parts of a band that lie in one piece, in order."""
        start = band.start
        while start < band.stop:
            stop = min(band.stop, (start // self._rows + 1) * self._rows)
            yield Band(start, stop)
            start = stop

    def plane(self, piece: Band) -> Plane:
        """Return the plane of a piece."""
        first = piece.start // self._rows * self._rows
        return piece.of(self._plane, first)

    def close(self, height: int) -> None:
        """Make the border below an image of so many rows, before its last rows are read."""
        tile = (height - 1) // TILE * TILE
        first = tile % self._rows + 1
        self._plane[:, first + height - tile : first + TILE + 1] = 0

    def written(self, piece: Band) -> None:
        """Take note that a piece was written."""
        if piece.start and piece.start % self._rows == 0:
            values = self._plane
            values[:, 0], values[:, self._rows + 1] = values[:, self._rows], values[:, 1]


class Layer(NamedTuple):
    """A masked convolution of a block, and the plane that it reads."""

    step: MaskedConv[Array]
    conv: ConvLayer
    x: str


class BandedBlock:
    """The first pass: layers and fuse.

    Args:
        layers: In order.
        step: The fuse.
        fuse: Its product.
    """

    def __init__(self, layers: Sequence[Layer], step: Fuse[Array], fuse: FuseLayer) -> None:
        self.layers, self.step, self.fuse = layers, step, fuse
        #: Rows by which each layer is behind the first.
        self.lags: dict[str, int] = {}
        for layer in layers:
            before = self.lags.get(layer.step.x)
            self.lags[layer.step.out] = 0 if before is None else before + TILE
        self.lag = max(self.lags.values())
        self.channels = [len(layer.step.weight) for layer in layers]
        self.no_scale = np.ones(len(step.bias))

    def rows(self, height: int) -> int:
        """Return how many rows of each layer are there: a band and what is read above it."""
        return min(self.step_rows + self.lag + TILE, rounded_up(height, TILE))

    def ring_of(
        self, number: int, height: int, arithmetic: Arithmetic
    ) -> tuple[str, np.dtype[Any]]:
        """Return the name of the memory of a layer's last rows, and what it holds.

        Blocks of as many layers share it.
        """
        in_bytes = self.layers[number].conv.units.out is not None
        dtype = np.dtype(np.uint8 if in_bytes else arithmetic.dtype)
        return f"ring {number} of {self.rows(height)} in {dtype}", dtype

    @property
    def step_rows(self) -> int:
        """Rows of a band."""
        return max(ROWS, self.lag + TILE)

    def __call__(self, image: Image, out: Plane) -> None:
        """Compute the layers of an image, and their fuse without the attention's factors."""
        height = image.run.size[0]
        rings = {
            layer.step.out: self._ring(image, number, self.channels[number])
            for number, layer in enumerate(self.layers)
        }
        sums = {
            layer.step.out: np.zeros(channels)
            for layer, channels in zip(self.layers, self.channels, strict=True)
        }
        for start in range(0, height, self.step_rows):
            is_last = start + self.step_rows >= height
            for layer in self.layers:
                if is_last:
                    rings[layer.step.out].close(height)
                for piece in self._pieces(rings, self.lags[layer.step.out], start, height):
                    sums[layer.step.out] += self._layer(image, layer, rings, piece)
                    rings[layer.step.out].written(piece)
            for piece in self._pieces(rings, self.lag, start, height):
                self._fuse(image, rings, piece, out)
        for name, total in sums.items():
            image.means[name] = total / image.run.pixel_count

    def _ring(self, image: Image, number: int, channels: int) -> Ring:
        height, width = image.run.size
        rows, planes = self.rows(height), image.run.planes
        name, dtype = self.ring_of(number, height, image.arithmetic)
        return Ring(planes.plane(name, channels, dtype, size=(rows, width)), rows)

    def _pieces(self, rings: dict[str, Ring], lag: int, start: int, height: int) -> Iterator[Band]:
        """Yield what is computed after the bands before row `start`, so many rows behind them."""
        stop = start + self.step_rows
        band = Band(max(0, start - lag), height if stop >= height else stop - lag)
        return next(iter(rings.values())).pieces(band)

    def _layer(self, image: Image, layer: Layer, rings: dict[str, Ring], piece: Band) -> Array:
        x, out = layer.x, rings[layer.step.out].plane(piece)
        source = rings[x].plane(piece) if x in rings else piece.of(image.plane(x))
        run, mask = _in_band(image, layer.step.mask, piece)
        return layer.conv(run, source, out, mask)

    def _fuse(self, image: Image, rings: dict[str, Ring], piece: Band, out: Plane) -> None:
        xs = [rings[x].plane(piece) for x in self.step.xs]
        run, mask = _in_band(image, self.step.mask, piece)
        self.fuse(run, None, xs, piece.of(out), mask, self.no_scale, None)


def _in_band(image: Image, mask: int, band: Band) -> tuple[Run, MaskLists]:
    width = image.run.size[1]
    lists = image.masks[mask].between(band.start, band.stop, width)
    return image.run.of_height(band.height), lists


class AttendedSum:
    """The second pass: the block's input plus the attention's factors times a plane."""

    def __init__(
        self,
        step: Fuse[Array],
        arithmetic: Arithmetic,
        link: Link | None,
        levels: tuple[Wanted, float] | None,
    ) -> None:
        self.step, self.link, self.levels = step, link, levels
        self.identity = arithmetic.row_weights([np.eye(len(step.bias))])

    def __call__(self, image: Image, added: Plane, x: Plane, out: Plane) -> None:
        """Write x + factors·added to `out`, which may be `x`, and what else the fuse would."""
        scale = packing.vector(factors(self.step, image.means))
        link = self.link
        chained = None if link is None else image.plane(link.out)
        levels = None
        if self.levels is not None:
            levels = image.plane(self.levels[0].name), self.levels[1]
        run, (height, width) = image.run, image.run.size
        for band in bands(height):
            chain = None
            if link is not None and chained is not None:
                chain = (link.weights, link.bias, band.of(chained), link.relu)
            run.kernels.rows(
                band.height,
                width,
                all_pixels(band.height, width),
                [(band.of(added), 0, 0, 0, len(self.step.bias), None)],
                self.identity,
                band.of(out),
                scale=scale,
                residual=band.of(x),
                chain=chain,
                levels=None if levels is None else (band.of(levels[0]), levels[1]),
                threads=run.threads,
            )


def bands(height: int) -> Iterator[Band]:
    """Yield the bands of an image that need no rows of each other."""
    for start in range(0, height, ROWS):
        yield Band(start, min(start + ROWS, height))
