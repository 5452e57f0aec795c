"""The operations of a network in bfloat16, summed in float32, at lists of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.packing import HALF_LINE, Array, Floats, Halves, padded
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import NEIGHBOURS, BlockMask, Indices, Run, all_runs, paired_runs

#: Bytes of a feature.
ITEMSIZE = 2


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

    def __call__(self, run: Run, lq: Floats, out: Halves, spare: Floats) -> None:
        """Convolve `lq` (channels, H, W) into a plane, with ReLU; `spare` is not needed."""
        height, width = run.size
        high = packing.half(lq)
        low = packing.half(lq - packing.widened(high))
        one = packing.half(np.ones((1, 1, 1)))
        shifted = run.planes.plane("lq", 2 * len(lq) + 1, np.uint16)
        for channel, values in enumerate((*high, *low, *one)):
            shifted[0, 1 : height + 1, 1 : width + 1, channel] = values
        run.kernels.half_rows(
            *run.size,
            all_runs(*run.size),
            _around(shifted, 1),
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
        """Convolve a plane; options are the kernel's `bias`, `relu` and `residual`."""
        size = size or run.size
        runs = paired_runs(*size) if pool else all_runs(*size)
        run.kernels.half_rows(
            *size, runs, _around(x, self.lines), self.weights, out, pool=pool, threads=run.threads,
            **{"bias": self.bias, **options},
        )  # fmt: skip


class Layer:
    """A sparse mask convolution; dense channels come first, among inputs and outputs.

    Attributes:
        channels: Output channels.
        dense: Output channels that exist at inactive pixels too.
    """

    def __init__(self, kernel: Array, dense: int, dense_in: int | None) -> None:
        """Pack a (N, K, 3, 3) kernel; `dense_in` of its inputs are dense, None for all."""
        self.channels, self.dense = len(kernel), dense
        depth: int = kernel.shape[1]
        self.lines, self.weights = lines(depth), packing.half_taps(kernel)
        # Without dense outputs or inputs there are no products, but zeros are stored.
        inputs = 0 if not dense else depth if dense_in is None else dense_in
        self.d2d_lines = lines(inputs)
        self.d2d_weights = packing.half_taps(kernel[: max(dense, 1), :inputs])

    def __call__(self, run: Run, x: Halves, out: Halves, mask: BlockMask) -> Array:
        """Compute the layer from plane `x` into plane `out`; return each channel's sum.

        Lines with dense channels, and the first line, are written at every pixel. The others are
        zero at inactive pixels, so that runs can be computed where they lie.
        """
        dense_lines = max(lines(self.dense), 1)
        options: dict[str, Any] = {"activity": mask.activity, "threads": run.threads}
        before = run.planes.dense_lines.get(out.ctypes.data, dense_lines)
        run.planes.dense_lines[out.ctypes.data] = dense_lines
        _clear(run, out[dense_lines:before], mask.idle_runs)
        _clear(run, out[max(dense_lines, before) :], mask.stale_runs)
        sums = run.kernels.half_rows(
            *run.size, mask.active_runs, _around(x, self.lines), self.weights, out, relu=True,
            sums=True, stored=run.kernels.ACTIVE, dense_lines=dense_lines, **options,
        )  # fmt: skip
        dense_sums = run.kernels.half_rows(
            *run.size, mask.inactive_runs, _around(x, self.d2d_lines), self.d2d_weights, out,
            relu=True, sums=True, stored=run.kernels.INACTIVE, **options,
        )  # fmt: skip
        sums[: len(dense_sums)] += dense_sums
        return sums[: self.channels]


def _around(x: Halves, count: int) -> list[tuple]:
    """Return the sources of a 3×3 convolution over the first lines of a plane."""
    return [(x, dy, dx, count) for dy, dx in NEIGHBOURS] if count else []


def _clear(run: Run, out: Halves, runs: Indices) -> None:
    """Zero runs of a plane."""
    if len(out):
        nothing = packing.half_product(np.zeros((0, HALF_LINE * len(out))))
        run.kernels.half_rows(*run.size, runs, [], nothing, out, threads=run.threads)


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
        for runs, counts, weights in (
            (mask.active_runs, self.channels, self.weights),
            (mask.idle_runs, self.dense, self.dense_weights),
        ):
            sources = [
                (layer, 0, 0, lines(count))
                for layer, count in zip(layers, counts, strict=True)
                if count
            ]
            run.kernels.half_rows(
                *run.size,
                runs,
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
        sources = [(self.output(run, k), 0, 0, self.lines) for k in range(self.blocks)]
        run.kernels.half_rows(
            *run.size,
            all_runs(*run.size),
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
