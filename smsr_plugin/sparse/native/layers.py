"""The layers of a program, in the arithmetic that packs their weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from numpy.typing import NDArray

from smsr_plugin.archs.steps import Slope
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.kernels import Chain, Floats, Signed, Source
from smsr_plugin.sparse.native.packing import Array, padded
from smsr_plugin.sparse.native.plan import tiles_are_cheaper
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import NEIGHBOURS, MaskLists, Run, all_pixels, all_tiles


class ImageConv:
    """The 3×3 convolution that sees the image: (N, channels + 1, 3, 3), the last input is 1."""

    def __init__(self, kernel: Array, bias: Array, slope: Slope[Array]) -> None:
        self.has_ones = bool(kernel[:, -1].any())  # else no mean is subtracted
        seen = kernel if self.has_ones else kernel[:, :-1]
        self.weights, self.bias = packing.taps(seen), packing.vector(bias)
        self.activation = packing.activation(slope)

    def __call__(self, run: Run, lq: Floats, out: Plane) -> None:
        """Convolve `lq` (channels, H, W)."""
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
    """A 3×3 convolution at every pixel, given its weights packed for tiles."""

    def __init__(self, weights: NDArray[Any], bias: Array, unit: Floats | None = None) -> None:
        self.weights, self.bias, self.unit = weights, packing.vector(bias), unit

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
        """Convolve a plane of the image's or another size; `residual` may be `out`."""
        size = size or run.size
        run.kernels.tiles(
            *size,
            all_tiles(*size),
            x,
            self.weights,
            out,
            unit=self.unit,
            bias=self.bias if bias else None,
            residual=residual,
            relu=relu,
            pool=pool,
            threads=run.threads,
        )


class Units(NamedTuple):
    """What a level of the planes of a convolution counts; None where they hold no bytes."""

    x: float | None = None
    out: float | None = None


NO_BYTES = Units()


class ListedConv:
    """A 3×3 convolution at the active or the inactive pixels of a mask.

    Of its inputs the first `dense` channels exist everywhere, the others at active pixels.
    """

    def __init__(
        self,
        arithmetic: Arithmetic,
        kernel: Array,
        dense: int,
        bias: Array | None,
        relu: bool,
        units: Units,
    ) -> None:
        """Pack a (N, K, 3, 3) kernel."""
        self.arithmetic = arithmetic
        self.depth: int = kernel.shape[1]
        # Whole lines of dense channels are read everywhere. Beyond the dense channels the last of
        # them is zero at inactive pixels, where nothing but dense outputs is ever stored.
        self.line = arithmetic.line if units.x is None else packing.BYTE_LINE
        self.dense = min(padded(dense, self.line), self.depth)
        counts = (1 if units.x is None else units.x) / (1 if units.out is None else units.out)
        self.kernel, self.in_bytes = kernel * counts, units.x is not None
        self.unit = None
        if self.in_bytes:
            self.at_tiles, self.unit = packing.tile_levels(self.kernel)
        else:
            self.at_tiles = arithmetic.tile_weights(self.kernel)
        self.bias = None if bias is None else packing.vector(bias / (units.out or 1))
        self.relu = relu

    @cached_property
    def at_pixels(self) -> NDArray[Any]:
        """The weights for pixels, packed when they are first needed: most masks want tiles."""
        if self.in_bytes:  # the same levels, with the same unit
            return self.at_tiles.reshape(len(self.at_tiles), -1, packing.LINE, 4)
        return self.arithmetic.taps(self.kernel)

    def __call__(self, run: Run, x: Plane, out: Plane, mask: MaskLists, active: bool) -> Array:
        """Convolve a plane; return the sum of each output channel."""
        kernels = run.kernels
        tiles = mask.active_tiles if active else mask.inactive_tiles
        pixels = mask.active if active else mask.inactive
        counts = mask.counts(active)
        # Without inputs the products are zero, and have to be stored as that: the dense channels
        # of the next layer read them.
        half = self.arithmetic.line == packing.HALF_LINE
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
                unit=self.unit,
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
            unit=self.unit,
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
    """A 3×3 convolution with a mask; dense channels come first, among inputs and outputs."""

    def __init__(
        self,
        arithmetic: Arithmetic,
        kernel: Array,
        dense: int,
        dense_in: int,
        bias: Array | None,
        relu: bool,
        units: Units = NO_BYTES,
    ) -> None:
        self.channels, self.units = len(kernel), units
        self.every = ListedConv(arithmetic, kernel, dense_in, bias, relu, units)
        self.d2d = None
        if dense:
            d2d, bias = kernel[:dense, :dense_in], None if bias is None else bias[:dense]
            self.d2d = ListedConv(arithmetic, d2d, dense_in, bias, relu, units)

    def __call__(self, run: Run, x: Plane, out: Plane, mask: MaskLists) -> Array:
        """Convolve a plane; return the sum of each output channel."""
        sums = self.every(run, x, out, mask, active=True)
        if self.d2d is not None:
            dense_sums = self.d2d(run, x, out, mask, active=False)
            sums[: len(dense_sums)] += dense_sums
        return sums[: self.channels] * (self.units.out or 1)


class Fuse:
    """A 1×1 product over the outputs of masked convolutions, scaled, plus a plane."""

    def __init__(
        self,
        arithmetic: Arithmetic,
        weights: Sequence[Array],
        dense: Sequence[int],
        bias: Array,
        units: Sequence[float] | None = None,
    ) -> None:
        """Pack weights.

        Args:
            arithmetic: Of the planes, if they hold no bytes.
            weights: Of each plane, (K, N).
            dense: How many channels of each plane are dense.
            bias: (N,).
            units: Of each plane in bytes, what a level counts; None: they hold none.
        """
        self.channels, self.dense = [len(weight) for weight in weights], dense
        of_dense = [weight[:count] for weight, count in zip(weights, dense, strict=True)]
        self.unit = self.dense_unit = None
        if units is None:
            self.weights, self.dense_weights = map(arithmetic.row_weights, (weights, of_dense))
        else:
            (self.weights, self.unit), (self.dense_weights, self.dense_unit) = (
                packing.in_levels([weight * unit for weight, unit in zip(some, units, strict=True)])
                for some in (weights, of_dense)
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
        levels: tuple[Signed, float] | None = None,
    ) -> None:
        """Write residual + scale·(xs·weights + bias) to `out`, which may be `residual`.

        And once more to the plane `levels`, so many for 1.
        """
        factor = packing.vector(scale)
        for pixels, counts, weights, unit in (
            (mask.active, self.channels, self.weights, self.unit),
            (mask.inactive, self.dense, self.dense_weights, self.dense_unit),
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
                unit=unit,
                residual=residual,
                chain=chain,
                levels=levels,
                threads=run.threads,
            )


class MapProduct:
    """A 1×1 convolution over the concatenation of planes, at every pixel."""

    def __init__(self, arithmetic: Arithmetic, weights: Sequence[Array], bias: Array) -> None:
        """Pack the (K, N) weights of each plane."""
        self.channels, self.bias = [len(weight) for weight in weights], packing.vector(bias)
        self.weights = arithmetic.row_weights(weights)

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
            residual=residual,
            relu=relu,
            threads=run.threads,
        )
