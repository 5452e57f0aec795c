"""The operations of a network in bfloat16, summed in float32, at lists of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.packing import HALF_LINE, Array, Floats, Halves, padded
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import NEIGHBOURS, BlockMask, Run, all_pixels, patches


def plane(planes: Planes, name: str, channels: int) -> Halves:
    """Return a plane of features."""
    return planes.plane(name, padded(channels, HALF_LINE), np.uint16)


def lines(channels: int) -> int:
    """Return how many lines hold a number of channels."""
    return -(-channels // HALF_LINE)


class FirstConv:
    """The convolution that sees the image: (N, channels + 1, 3, 3), the last input is 1.

    The image is given as the sum of two bfloat16 numbers, so that it keeps 16 bits.
    """

    def __init__(self, kernel: Array, bias: Array) -> None:
        image = kernel[:, :-1]
        self.weights = packing.half_taps(np.concatenate([image, image, kernel[:, -1:]], 1))
        self.bias = packing.vector(bias)

    def __call__(self, run: Run, lq: Floats, out: Halves) -> None:
        """Convolve `lq` (channels, H, W) into a plane, with ReLU."""
        height, width = run.size
        channels = lq.shape[0]
        shifted = run.planes.plane("lq", padded(2 * channels + 1, HALF_LINE), np.uint16)
        inside = shifted[1 : height + 1, 1 : width + 1]
        image = lq.transpose(1, 2, 0)
        high = packing.half(image)
        inside[..., :channels] = high
        inside[..., channels : 2 * channels] = packing.half(image - packing.widened(high))
        inside[..., 2 * channels] = packing.half(np.ones(1))
        sources = [(shifted, dy, dx, lines(2 * channels + 1), 0, -1) for dy, dx in NEIGHBOURS]
        run.kernels.half_rows(
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

    def __init__(self, kernel: Array, bias: Array) -> None:
        self.lines = lines(kernel.shape[1])
        self.weights, self.bias = packing.half_taps(kernel), packing.vector(bias)

    def __call__(
        self, run: Run, x: Halves, out: Halves | Floats, size: tuple[int, int] | None = None,
        pool: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        """Convolve a plane; options are the kernel's `relu` and `residual`."""
        size = size or run.size
        pixels = patches(*size, run.kernels.HALF_BLOCK // 2) if pool else all_pixels(*size)
        sources = [(x, dy, dx, self.lines, 0, -1) for dy, dx in NEIGHBOURS]
        run.kernels.half_rows(
            *size, pixels, sources, self.weights, out, bias=self.bias, pool=pool,
            threads=run.threads, **options,
        )  # fmt: skip


class Layer:
    """A sparse mask convolution; dense channels come first, among inputs and outputs.

    Attributes:
        channels: Output channels.
        dense: Output channels that exist at inactive pixels too.
    """

    def __init__(self, kernel: Array, dense: int, dense_in: int | None) -> None:
        """Pack a (N, K, 3, 3) kernel; `dense_in` of its inputs are dense, None for all."""
        self.channels, self.dense, self.dense_in = len(kernel), dense, dense_in
        self.lines = lines(kernel.shape[1])
        self.weights = packing.half_taps(kernel)
        if dense:
            self.dense_weights = packing.half_taps(kernel[:dense, :dense_in])

    def __call__(self, run: Run, x: Halves, out: Halves, mask: BlockMask) -> Array:
        """Compute the layer from plane `x` into plane `out`; return each channel's sum."""
        options: dict[str, Any] = {"relu": True, "sums": True, "threads": run.threads}
        neighbours = None if self.dense_in is None else mask.neighbours
        dense_lines = self.lines if self.dense_in is None else lines(self.dense_in)
        sources = [
            (x, dy, dx, self.lines, dense_lines, -1 if neighbours is None else bit)
            for bit, (dy, dx) in enumerate(NEIGHBOURS)
        ]
        sums = run.kernels.half_rows(
            *run.size, mask.active, sources, self.weights, out, neighbours=neighbours, **options
        )
        if self.dense:
            # Without dense inputs there are no sources, and the zeros are stored: the next layer
            # reads them.
            taps = NEIGHBOURS if dense_lines else ()
            sources = [(x, dy, dx, dense_lines, dense_lines, -1) for dy, dx in taps]
            dense_sums = run.kernels.half_rows(
                *run.size, mask.inactive, sources, self.dense_weights, out, **options
            )
            sums[: len(dense_sums)] += dense_sums
        return sums[: self.channels]


class Fuse:
    """A block's 1×1 product over the outputs of its layers, scaled, plus the block's input."""

    def __init__(self, weights: list[Array], dense: list[int], bias: Array) -> None:
        """Take the layers' (C, C) weights; `dense` is how many channels of each are dense."""
        self.channels, self.dense = [len(weight) for weight in weights], dense
        self.weights = packing.half_layout(_stacked(weights))
        self.dense_weights = packing.half_layout(
            _stacked([weight[:count] for weight, count in zip(weights, dense, strict=True)])
        )
        self.bias = packing.vector(bias)

    def __call__(
        self, run: Run, x: Halves, layers: list[Halves], out: Halves, mask: BlockMask,
        scale: Array, chain: None,
    ) -> None:  # fmt: skip
        """Write x + scale·(layers·weights + bias) to `out`, which may be `x`."""
        factor = packing.vector(scale)
        for pixels, counts, weights in (
            (mask.active, self.channels, self.weights),
            (mask.inactive, self.dense, self.dense_weights),
        ):
            sources = [
                (layer, 0, 0, lines(count), 0, -1)
                for layer, count in zip(layers, counts, strict=True)
                if count
            ]
            run.kernels.half_rows(
                *run.size,
                pixels,
                sources,
                packing.half(weights * factor.reshape(-1, 1, 1, packing.LINE, 1)),
                out,
                bias=self.bias * factor,
                residual=x,
                threads=run.threads,
            )


class Collect:
    """The final 1×1 product over all blocks' outputs, which are kept until then; with ReLU."""

    def __init__(self, weights: list[Array], bias: Array) -> None:
        """Pack the blocks' (C, C) weights."""
        self.blocks, self.channels = len(weights), weights[0].shape[1]
        self.lines = lines(len(weights[0]))
        self.weights = packing.half_product(_stacked(weights))
        self.bias = packing.vector(bias)

    def output(self, run: Run, block: int) -> Halves:
        """Return the plane for the output of a block."""
        return plane(run.planes, f"feature{block}", self.channels)

    def chain(self, run: Run, block: int) -> None:
        """Nothing has to be done with the rows of a block's output."""
        return

    def finish(self, run: Run) -> Halves:
        """Compute and return the plane of the product."""
        out = plane(run.planes, "collected", self.channels)
        sources = [(self.output(run, k), 0, 0, self.lines, 0, -1) for k in range(self.blocks)]
        run.kernels.half_rows(
            *run.size,
            all_pixels(*run.size),
            sources,
            self.weights,
            out,
            bias=self.bias,
            relu=True,
            threads=run.threads,
        )
        return out


def _stacked(weights: list[Array]) -> Array:
    """Concatenate (K, N) weights, each padded to whole lines of inputs."""
    return np.concatenate(
        [packing.pad(weight, 0, padded(len(weight), HALF_LINE)) for weight in weights]
    )
