"""The operations of a network in float32: Winograd at tiles, products at pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.packing import Array, Floats, padded
from smsr_plugin.sparse.native.plan import tiles_are_cheaper
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import NEIGHBOURS, BlockMask, Run, all_pixels, all_tiles

#: Bytes of a feature.
ITEMSIZE = 4


def plane(planes: Planes, name: str, channels: int) -> Floats:
    """Return a plane of features."""
    return planes.plane(name, padded(channels))


class FirstConv:
    """The convolution that sees the image: (N, channels + 1, 3, 3), the last input is 1."""

    def __init__(self, kernel: Array, bias: Array) -> None:
        self.weights, self.bias = packing.taps(kernel), packing.vector(bias)

    def __call__(self, run: Run, lq: Floats, out: Floats, spare: Floats) -> None:
        """Convolve `lq` (channels, H, W) into a plane, with ReLU; `spare` is overwritten."""
        height, width = run.size
        for channel, values in enumerate((*lq, 1)):
            spare[0, 1 : height + 1, 1 : width + 1, channel] = values
        sources = [(spare, dy, dx, 0, len(lq) + 1, None) for dy, dx in NEIGHBOURS]
        run.kernels.rows(
            *run.size,
            all_pixels(*run.size),
            sources,
            self.weights,
            out,
            bias=self.bias,
            relu=True,
            threads=run.threads,
        )


class MapConv:
    """A 3×3 convolution at every pixel."""

    pack = staticmethod(packing.winograd)

    def __init__(self, kernel: Array, bias: Array) -> None:
        self.weights, self.bias = self.pack(kernel), packing.vector(bias)

    def __call__(
        self, run: Run, x: Floats, out: Floats, size: tuple[int, int] | None = None, **options: Any
    ) -> None:
        """Convolve a plane; options are the kernel's `bias`, `relu`, `pool`, `residual`."""
        size = size or run.size
        run.kernels.winograd(
            *size, all_tiles(*size), x, self.weights, out, threads=run.threads,
            **{"bias": self.bias, **options},
        )  # fmt: skip


class ListedConv:
    """A 3×3 convolution with ReLU at the active or the inactive pixels of a mask.

    Of its inputs the first `dense` channels exist everywhere, the others at active pixels.
    """

    pack = staticmethod(packing.winograd)

    def __init__(self, kernel: Array, dense: int) -> None:
        """Pack a (N, K, 3, 3) kernel."""
        self.width, self.depth = kernel.shape[:2]
        # Whole lines of dense channels are read everywhere. Beyond the dense channels the last of
        # them is zero at inactive pixels, where nothing but dense outputs is ever stored.
        self.dense = min(padded(dense), self.depth)
        self.at_tiles, self.at_pixels = self.pack(kernel), packing.taps(kernel)

    def __call__(self, run: Run, x: Floats, out: Floats, mask: BlockMask, active: bool) -> Array:
        """Convolve plane `x` into plane `out`; return the sum of each output channel."""
        tiles = mask.active_tiles if active else mask.inactive_tiles
        pixels = mask.active if active else mask.inactive
        options: dict[str, Any] = {"relu": True, "sums": True, "threads": run.threads}
        # Without inputs the products are zero, and have to be stored as that: the dense channels
        # of the next layer read them.
        if self.depth and tiles_are_cheaper(run.kernels, self.at_tiles, tiles, pixels):
            return run.kernels.winograd(
                *run.size,
                tiles,
                x,
                self.at_tiles,
                out,
                activity_in=None if self.dense == self.depth else mask.activity,
                k_dense=padded(self.dense),
                activity_out=mask.activity,
                stored=run.kernels.ACTIVE if active else run.kernels.INACTIVE,
                **options,
            )
        return run.kernels.rows(
            *run.size, pixels, self._sources(x, mask), self.at_pixels, out, **options
        )

    def _sources(self, x: Floats, mask: BlockMask) -> list[tuple]:
        sources: list[tuple] = []
        for dy, dx in NEIGHBOURS:
            if self.dense:
                sources.append((x, dy, dx, 0, self.dense, None))
            if self.dense < self.depth:
                sources.append((x, dy, dx, self.dense, self.depth - self.dense, mask.activity))
        return sources


class Layer:
    """A sparse mask convolution; dense channels come first, among inputs and outputs.

    Attributes:
        channels: Output channels.
        dense: Output channels that exist at inactive pixels too.
    """

    listed = ListedConv

    def __init__(self, kernel: Array, dense: int, dense_in: int | None) -> None:
        """Pack a (N, K, 3, 3) kernel; `dense_in` of its inputs are dense, None for all."""
        self.channels, self.dense = len(kernel), dense
        inputs: int = kernel.shape[1] if dense_in is None else dense_in
        self.every = self.listed(kernel, inputs)
        self.d2d = self.listed(kernel[:dense, :inputs], inputs) if dense else None

    def __call__(self, run: Run, x: Floats, out: Floats, mask: BlockMask) -> Array:
        """Compute the layer from plane `x` into plane `out`; return each channel's sum."""
        sums = self.every(run, x, out, mask, active=True)
        if self.d2d is not None:
            dense_sums = self.d2d(run, x, out, mask, active=False)
            sums[: len(dense_sums)] += dense_sums
        return sums[: self.channels]


class Fuse:
    """A block's 1×1 product over the outputs of its layers, scaled, plus the block's input."""

    def __init__(self, weights: list[Array], dense: list[int], bias: Array) -> None:
        """Pack the layers' (C, C) weights; `dense` is how many channels of each are dense."""
        self.channels, self.dense = [len(weight) for weight in weights], dense
        self.weights = self.pack(weights)
        self.dense_weights = self.pack(
            [weight[:count] for weight, count in zip(weights, dense, strict=True)]
        )
        self.bias = packing.vector(bias)

    @staticmethod
    def pack(weights: list[Array]) -> Floats:
        """Pack the layers' (K, N) weights for `scaled`."""
        return packing.product(np.concatenate(weights))

    @staticmethod
    def scaled(weights: Floats, factor: Floats) -> NDArray:
        """Return what `pack` returned with every output, of (N,), times a factor."""
        return packing.scaled(weights, factor.reshape(-1, 1, packing.LINE))

    def __call__(
        self, run: Run, x: Floats, layers: list[Floats], out: Floats, mask: BlockMask,
        scale: Array, chain: Any,
    ) -> None:  # fmt: skip
        """Write x + scale·(layers·weights + bias) to `out`, which may be `x`."""
        factor = packing.vector(scale)
        for pixels, counts, weights in (
            (mask.active, self.channels, self.weights),
            (mask.inactive, self.dense, self.dense_weights),
        ):
            sources = [
                (layer, 0, 0, 0, count, None)
                for layer, count in zip(layers, counts, strict=True)
                if count
            ]
            run.kernels.rows(
                *run.size,
                pixels,
                sources,
                self.scaled(weights, factor),
                out,
                bias=self.bias * factor,
                residual=x,
                chain=chain,
                threads=run.threads,
            )


class Collect:
    """The final 1×1 product over all blocks' outputs, with ReLU.

    It is accumulated while a block's output is at hand; the next block overwrites that.
    """

    pack = staticmethod(packing.product)

    def __init__(self, weights: list[Array], bias: Array) -> None:
        """Pack the blocks' (C, C) weights."""
        self.channels = weights[0].shape[1]
        depth = padded(len(weights[0]))
        filled = [packing.pad(weight, 0, depth) for weight in weights]
        # A block's input is at hand together with its output: every other block does for two.
        self.weights: dict[int, NDArray] = {}
        for block in reversed(range(len(weights) - 1, -1, -2)):
            pair = filled[max(block - 1, 0) : block + 1]
            self.weights[block] = self.pack(np.concatenate(pair))
        self.bias = packing.vector(bias)

    def output(self, run: Run, block: int) -> Floats:
        """Return the plane for the output of a block."""
        return plane(run.planes, "feature", self.channels)

    def chain(self, run: Run, block: int) -> tuple[NDArray, NDArray | None, NDArray, bool] | None:
        """Return what `Fuse` has to do with each row of its output."""
        if block not in self.weights:
            return None
        start = self.bias if block == min(self.weights) else None
        last = block == max(self.weights)
        return self.weights[block], start, plane(run.planes, "collected", self.channels), last

    def finish(self, run: Run) -> Floats:
        """Return the plane of the product."""
        return plane(run.planes, "collected", self.channels)
