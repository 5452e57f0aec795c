"""The operations of a program in float32: Winograd at tiles, products at pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.steps import Slope
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.kernels import Chain, Floats, Source
from smsr_plugin.sparse.native.packing import Array, padded
from smsr_plugin.sparse.native.plan import tiles_are_cheaper
from smsr_plugin.sparse.native.planes import Plane, Planes
from smsr_plugin.sparse.native.run import NEIGHBOURS, MaskLists, Run, all_pixels, all_tiles

ITEMSIZE = 4


def plane(
    planes: Planes,
    name: str,
    channels: int,
    *,
    room: int = 0,
    size: tuple[int, int] | None = None,
) -> Plane:
    """Return a plane of features; see `Planes.plane`."""
    return planes.plane(name, padded(channels), room=padded(room), size=size)


def tile_weights(kernel: Array) -> NDArray[Any]:
    """Pack a (N, K, 3, 3) kernel for tiles."""
    return packing.winograd(kernel)


def strided_weights(kernel: Array) -> NDArray[Any]:
    """Pack a (N, K, 3, 3) kernel for a convolution with strides."""
    return packing.taps(kernel)


def attention_weights(weights: Array) -> NDArray[Any]:
    """Pack the (K, N) weights of an attention's product."""
    return packing.product(weights)


def constants(values: Array) -> NDArray[Any]:
    """Pack the values of a pixel."""
    return packing.vector(values)


def row_weights(weights: Sequence[Array]) -> NDArray[Any]:
    """Pack (K, N) weights, one below the other, for rows."""
    return packing.product(np.concatenate(weights))


class ImageConv:
    """The convolution that sees the image."""

    def __init__(self, kernel: Array, bias: Array, slope: Slope[Array]) -> None:
        self.has_ones = bool(kernel[:, -1].any())  # else no mean is subtracted
        seen = kernel if self.has_ones else kernel[:, :-1]
        self.weights, self.bias = packing.taps(seen), packing.vector(bias)
        self.activation = packing.activation(slope)

    def __call__(self, run: Run, lq: Floats, out: Plane) -> None:
        run.kernels.image(
            lq,
            self.weights,
            out,
            has_ones=self.has_ones,
            bias=self.bias,
            threads=run.threads,
            **self.activation,
        )


class MapConv:
    """A 3×3 convolution at every pixel."""

    pack = staticmethod(packing.winograd)

    def __init__(self, kernel: Array, bias: Array) -> None:
        self.weights, self.bias = self.pack(kernel), packing.vector(bias)

    def __call__(
        self,
        run: Run,
        x: Plane,
        out: Plane,
        *,
        size: tuple[int, int] | None = None,
        bias: bool = True,
        residual: Plane | None = None,
        relu: bool = False,
        pool: bool = False,
    ) -> None:
        size = size or run.size
        run.kernels.tiles(
            *size,
            all_tiles(*size),
            x,
            self.weights,
            out,
            bias=self.bias if bias else None,
            residual=None if residual is None else residual,
            relu=relu,
            pool=pool,
            threads=run.threads,
        )


LastConv = MapConv


class ListedConv:
    """A 3×3 convolution at the active or the inactive pixels of a mask.

    Of its inputs the first `dense` channels exist everywhere, the others at active pixels.
    """

    pack = staticmethod(packing.winograd)
    pack_taps = staticmethod(packing.taps)
    line = packing.LINE

    def __init__(self, kernel: Array, dense: int, bias: Array | None, relu: bool) -> None:
        """Pack a (N, K, 3, 3) kernel."""
        self.depth: int = kernel.shape[1]
        # Whole lines of dense channels are read everywhere. Beyond the dense channels the last of
        # them is zero at inactive pixels, where nothing but dense outputs is ever stored.
        self.dense = min(padded(dense, self.line), self.depth)
        self.kernel, self.at_tiles = kernel, self.pack(kernel)
        self.bias = None if bias is None else packing.vector(bias)
        self.relu = relu

    @cached_property
    def at_pixels(self) -> NDArray[Any]:
        """The weights for pixels, packed when they are first needed: most masks want tiles."""
        return self.pack_taps(self.kernel)

    def __call__(self, run: Run, x: Plane, out: Plane, mask: MaskLists, active: bool) -> Array:
        """Convolve a plane; return the sum of each output channel."""
        kernels = run.kernels
        tiles = mask.active_tiles if active else mask.inactive_tiles
        pixels = mask.active if active else mask.inactive
        counts = mask.counts(active)
        # Without inputs the products are zero, and have to be stored as that: the dense channels
        # of the next layer read them.
        half = self.line == packing.HALF_LINE
        sizes = self.depth, len(self.kernel)
        if self.depth and tiles_are_cheaper(kernels.isa(), half, *sizes, *counts):
            return kernels.tiles(
                *run.size,
                tiles,
                x,
                self.at_tiles,
                out,
                bias=self.bias,
                relu=self.relu,
                sums=True,
                activity_in=None if self.dense == self.depth else mask.activity,
                k_dense=padded(self.dense, self.line),
                activity_out=mask.activity,
                stored=kernels.ACTIVE if active else kernels.INACTIVE,
                threads=run.threads,
            )
        return kernels.rows(
            *run.size,
            pixels,
            self._sources(x, mask),
            self.at_pixels,
            out,
            bias=self.bias,
            relu=self.relu,
            sums=True,
            threads=run.threads,
        )

    def _sources(self, x: NDArray[Any], mask: MaskLists) -> list[Source]:
        sources: list[Source] = []
        for dy, dx in NEIGHBOURS:
            if self.dense:
                sources.append((x, dy, dx, 0, self.dense, None))
            if self.dense < self.depth:
                sources.append((x, dy, dx, self.dense, self.depth - self.dense, mask.activity))
        return sources


class MaskedConv:
    """A 3×3 convolution with a mask."""

    listed = ListedConv

    def __init__(
        self, kernel: Array, dense: int, dense_in: int, bias: Array | None, relu: bool
    ) -> None:
        self.channels = len(kernel)
        self.every = self.listed(kernel, dense_in, bias, relu)
        self.d2d = None
        if dense:
            d2d_bias = None if bias is None else bias[:dense]
            self.d2d = self.listed(kernel[:dense, :dense_in], dense_in, d2d_bias, relu)

    def __call__(self, run: Run, x: Plane, out: Plane, mask: MaskLists) -> Array:
        sums = self.every(run, x, out, mask, active=True)
        if self.d2d is not None:
            dense_sums = self.d2d(run, x, out, mask, active=False)
            sums[: len(dense_sums)] += dense_sums
        return sums[: self.channels]


class Fuse:
    """A 1×1 product over the outputs of masked convolutions, scaled, plus a plane."""

    pack = staticmethod(row_weights)

    def __init__(self, weights: Sequence[Array], dense: Sequence[int], bias: Array) -> None:
        """Pack the (K, N) weights of each plane; `dense` is how many of its channels are dense."""
        self.channels, self.dense = [len(weight) for weight in weights], dense
        self.weights = self.pack(weights)
        self.dense_weights = self.pack(
            [weight[:count] for weight, count in zip(weights, dense, strict=True)]
        )
        self.bias = packing.vector(bias)

    def __call__(
        self,
        run: Run,
        residual: Plane | None,
        xs: Sequence[Plane],
        out: Plane,
        mask: MaskLists,
        scale: Array,
        chain: Chain | None,
    ) -> None:
        factor = packing.vector(scale)
        for pixels, counts, weights in (
            (mask.active, self.channels, self.weights),
            (mask.inactive, self.dense, self.dense_weights),
        ):
            sources: list[Source] = [
                (x, 0, 0, 0, count, None) for x, count in zip(xs, counts, strict=True) if count
            ]
            run.kernels.rows(
                *run.size,
                pixels,
                sources,
                weights,
                out,
                bias=self.bias,
                scale=factor,
                residual=None if residual is None else residual,
                chain=chain,
                threads=run.threads,
            )


class MapProduct:
    """A 1×1 convolution over the concatenation of planes, at every pixel."""

    pack = staticmethod(row_weights)

    def __init__(self, weights: Sequence[Array], bias: Array) -> None:
        """Pack the (K, N) weights of each plane."""
        self.channels, self.bias = [len(weight) for weight in weights], packing.vector(bias)
        self.weights = self.pack(weights)

    def __call__(
        self,
        run: Run,
        xs: Sequence[Plane],
        out: Plane,
        *,
        bias: bool = True,
        residual: Plane | None = None,
        relu: bool = False,
    ) -> None:
        sources: list[Source] = [
            (x, 0, 0, 0, count, None) for x, count in zip(xs, self.channels, strict=True)
        ]
        run.kernels.rows(
            *run.size,
            all_pixels(*run.size),
            sources,
            self.weights,
            out,
            bias=self.bias if bias else None,
            residual=None if residual is None else residual,
            relu=relu,
            threads=run.threads,
        )
