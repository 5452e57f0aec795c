"""The operations of a program in bfloat16, summed in float32, at lists of runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smsr_plugin.archs.steps import Slope
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.kernels import Chain, Floats, HalfSource, Halves, Indices
from smsr_plugin.sparse.native.packing import HALF_LINE, Array, padded
from smsr_plugin.sparse.native.planes import Plane, Planes
from smsr_plugin.sparse.native.run import NEIGHBOURS, MaskLists, Run, all_runs, paired_runs

ITEMSIZE = 2
#: There are no chains: a run at a time is computed, not a row; and nothing for tiles or rows.
chain_weights = tile_weights = row_weights = tap_weights = constants = None


def plane(
    planes: Planes,
    name: str,
    channels: int,
    *,
    room: int = 0,
    size: tuple[int, int] | None = None,
) -> Plane:
    """Return a plane of features; see `Planes.plane`."""
    channels, room = padded(channels, HALF_LINE), padded(room, HALF_LINE)
    return planes.plane(name, channels, np.uint16, room=room, size=size)


def lines(channels: int) -> int:
    """Return how many lines hold a number of channels."""
    return -(-channels // HALF_LINE)


class ImageConv:
    """The convolution that sees the image.

    The image is given as the sum of two bfloat16 numbers, so that it keeps 16 bits.
    """

    def __init__(self, kernel: Array, bias: Array, slope: Slope[Array]) -> None:
        image = kernel[:, :-1]
        self.weights = packing.half_taps(np.concatenate([image, image, kernel[:, -1:]], 1))
        self.bias, self.relu = packing.vector(bias), slope is not None

    def __call__(self, run: Run, lq: Floats, out: Plane, spare: Plane) -> None:
        height, width = run.size
        high = packing.half(lq)
        low = packing.half(lq - packing.widened(high))
        one = packing.half(np.ones((1, 1, 1)))
        shifted = run.planes.plane("image in halves", 2 * len(lq) + 1, np.uint16).values
        for channel, values in enumerate((*high, *low, *one)):
            shifted[0, 1 : height + 1, 1 : width + 1, channel] = values
        run.kernels.half_rows(
            *run.size,
            all_runs(*run.size),
            _around(shifted, 1),
            self.weights,
            out.values,
            bias=self.bias,
            relu=self.relu,
            threads=run.threads,
        )


class MapConv:
    """A 3×3 convolution at every pixel."""

    def __init__(self, kernel: Array, bias: Array) -> None:
        self.lines = lines(kernel.shape[1])
        self.weights, self.bias = packing.half_taps(kernel), packing.vector(bias)

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
        run.kernels.half_rows(
            *size,
            paired_runs(*size) if pool else all_runs(*size),
            _around(x.values, self.lines),
            self.weights,
            out.values,
            bias=self.bias if bias else None,
            residual=None if residual is None else residual.values,
            relu=relu,
            pool=pool,
            threads=run.threads,
        )


LastConv = MapConv


class MapProduct:
    """A 1×1 convolution over the concatenation of planes, at every pixel."""

    def __init__(self, weights: Sequence[Array], bias: Array) -> None:
        """Pack the (K, N) weights of each plane."""
        self.lines = [lines(len(weight)) for weight in weights]
        self.weights, self.bias = packing.half_product(_stacked(weights)), packing.vector(bias)

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
        sources: list[HalfSource] = [
            (x.values, 0, 0, count) for x, count in zip(xs, self.lines, strict=True)
        ]
        run.kernels.half_rows(
            *run.size,
            all_runs(*run.size),
            sources,
            self.weights,
            out.values,
            bias=self.bias if bias else None,
            residual=None if residual is None else residual.values,
            relu=relu,
            threads=run.threads,
        )


class MaskedConv:
    """A 3×3 convolution with a mask."""

    def __init__(
        self, kernel: Array, dense: int, dense_in: int, bias: Array | None, relu: bool
    ) -> None:
        self.channels, self.relu = len(kernel), relu
        self.lines, self.weights = lines(kernel.shape[1]), packing.half_taps(kernel)
        # Lines with dense channels, and the first line, are written at every pixel.
        self.dense_lines = max(lines(dense), 1)
        # Without dense outputs or inputs there are no products, but zeros are stored.
        inputs = dense_in if dense else 0
        self.d2d_lines = lines(inputs)
        self.d2d_weights = packing.half_taps(kernel[: max(dense, 1), :inputs])
        self.bias = self.d2d_bias = None
        if bias is not None:
            d2d_bias = packing.pad(bias[:dense], 0, max(dense, 1))
            self.bias, self.d2d_bias = packing.vector(bias), packing.vector(d2d_bias)

    def __call__(self, run: Run, x: Plane, out: Plane, mask: MaskLists) -> Array:
        """Compute the layer.

        Lines of sparse channels alone are made zero at idle runs, so that runs can be computed
        where they lie.
        """
        self._clear(run, out, mask)
        sums = run.kernels.half_rows(
            *run.size,
            mask.active_runs,
            _around(x.values, self.lines),
            self.weights,
            out.values,
            bias=self.bias,
            relu=self.relu,
            sums=True,
            activity=mask.activity,
            stored=run.kernels.ACTIVE,
            dense_lines=self.dense_lines,
            threads=run.threads,
        )
        dense_sums = run.kernels.half_rows(
            *run.size,
            mask.inactive_runs,
            _around(x.values, self.d2d_lines),
            self.d2d_weights,
            out.values,
            bias=self.d2d_bias,
            relu=self.relu,
            sums=True,
            activity=mask.activity,
            stored=run.kernels.INACTIVE,
            threads=run.threads,
        )
        sums[: len(dense_sums)] += dense_sums
        return sums[: self.channels]

    def _clear(self, run: Run, out: Plane, mask: MaskLists) -> None:
        """Zero what the plane's last user left at idle runs, beyond this one's dense lines."""
        before, filled = out.dense_lines, out.filled_runs
        _clear(run, out.values[self.dense_lines : before], mask.idle_runs)
        stale = filled[mask.is_idle[filled]]
        _clear(run, out.values[max(self.dense_lines, before) :], stale)
        out.dense_lines, out.filled_runs = self.dense_lines, mask.active_runs


def _around(x: Halves, count: int) -> list[HalfSource]:
    """Return the sources of a 3×3 convolution over the first lines of a plane."""
    return [(x, dy, dx, count) for dy, dx in NEIGHBOURS] if count else []


def _clear(run: Run, out: Halves, runs: Indices) -> None:
    """Zero runs of a plane."""
    if len(out):
        nothing = packing.half_product(np.zeros((0, HALF_LINE * len(out))))
        run.kernels.half_rows(*run.size, runs, [], nothing, out, threads=run.threads)


class Fuse:
    """A 1×1 product over the outputs of masked convolutions, scaled, plus a plane."""

    def __init__(self, weights: Sequence[Array], dense: Sequence[int], bias: Array) -> None:
        """Pack the (K, N) weights of each plane; `dense` is how many of its channels are dense."""
        self.channels, self.dense = [len(weight) for weight in weights], dense
        self.weights = packing.half_layout(_stacked(weights))
        self.dense_weights = packing.half_layout(
            _stacked([weight[:count] for weight, count in zip(weights, dense, strict=True)])
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
        for runs, counts, weights in (
            (mask.active_runs, self.channels, self.weights),
            (mask.idle_runs, self.dense, self.dense_weights),
        ):
            sources: list[HalfSource] = [
                (x.values, 0, 0, lines(count)) for x, count in zip(xs, counts, strict=True) if count
            ]
            run.kernels.half_rows(
                *run.size,
                runs,
                sources,
                packing.half(weights * factor.reshape(-1, 1, 1, packing.LINE, 1)),
                out.values,
                bias=self.bias * factor,
                residual=None if residual is None else residual.values,
                threads=run.threads,
            )


def _stacked(weights: Sequence[Array]) -> Array:
    """Concatenate (K, N) weights, each padded to whole lines of inputs."""
    return np.concatenate(
        [packing.pad(weight, 0, padded(len(weight), HALF_LINE)) for weight in weights]
    )
