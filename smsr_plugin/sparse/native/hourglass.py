"""The hourglass that decides a mask, on the native kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from smsr_plugin.archs.steps import Hourglass
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import FLOAT32, Arithmetic
from smsr_plugin.sparse.native.kernels import Bytes
from smsr_plugin.sparse.native.layers import MapConv
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import NEIGHBOURS, Run, all_pixels


class NativeHourglass:
    """The step `Hourglass`.

    Its first convolution, at full size, uses the arithmetic of the features. What follows the
    pooling is small, and in float32 where Winograd would lose more than direct products do.
    """

    def __init__(
        self, step: Hourglass[Array], arithmetic: Arithmetic, unit: float | None = None
    ) -> None:
        """Pack weights; `unit` is what a level of x counts, if it holds levels."""
        self.channels = len(step.conv1)
        self.inside = arithmetic if arithmetic.is_direct else FLOAT32
        if unit is None:
            self.first = MapConv(arithmetic.tile_weights(step.conv1), step.bias1)
        else:
            weights, units = packing.tile_levels(step.conv1 * unit)
            self.first = MapConv(weights, step.bias1, units)
        self.second = MapConv(self.inside.tile_weights(step.conv2), step.bias2)
        # The transposed convolution's products with its nine taps; `decide` adds up those that
        # meet in a pixel.
        self.deconv = self.inside.row_weights([step.deconv.reshape(-1, len(NEIGHBOURS))])
        self.deconv_bias = float(step.deconv_bias[0])

    def __call__(self, run: Run, x: Plane, activity: Bytes, threshold: float) -> None:
        """Mark active and inactive pixels in `activity`, given the features."""
        height, width = run.size
        half = -(-height // 2), -(-width // 2)
        hidden = self.inside.plane(run.planes, "mask_hidden", self.channels, size=half)
        hidden2 = self.inside.plane(run.planes, "mask_hidden2", self.channels, size=half)
        products = run.planes.plane("mask_products", len(NEIGHBOURS), size=half)
        with _edge_repeated(x, height, width):
            self.first(run, x, hidden, size=(2 * half[0], 2 * half[1]), relu=True, pool=True)
        self.second(run, hidden, hidden2, size=half, relu=True)
        run.kernels.rows(
            *half,
            all_pixels(*half),
            [(hidden2, 0, 0, 0, self.channels, None)],
            self.deconv,
            products,
            threads=run.threads,
        )
        run.kernels.decide(
            height,
            width,
            products,
            self.deconv_bias,
            threshold,
            activity,
            threads=run.threads,
        )


@contextmanager
def _edge_repeated(x: NDArray[Any], height: int, width: int) -> Iterator[None]:
    """Make the size of the image in plane `x` even by repeating its last row and column.

    They are written into the border, whose zeros are put back afterwards.
    """
    rows, columns = height + height % 2, width + width % 2
    x[:, rows] = x[:, height]
    x[:, :, columns] = x[:, :, width]
    yield
    x[:, height + 1 :] = 0
    x[:, :, width + 1 :] = 0
