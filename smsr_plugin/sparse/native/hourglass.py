"""The hourglass that decides a mask, on the native kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from smsr_plugin.archs.steps import Hourglass
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.kernels import Bytes
from smsr_plugin.sparse.native.layers import MapConv
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import NEIGHBOURS, Run, all_pixels


class NativeHourglass:
    """The step `Hourglass`.

    Its first convolution, at full size, uses the arithmetic of the features; what follows the
    pooling is small and is done in float32.
    """

    def __init__(self, step: Hourglass[Array], arithmetic: Arithmetic) -> None:
        self.channels = packing.padded(len(step.conv1))
        self.first = MapConv(arithmetic.tile_weights(step.conv1), step.bias1)
        self.second = MapConv(packing.winograd(step.conv2), step.bias2)
        # The transposed convolution's products with its nine taps; `decide` adds up those that
        # meet in a pixel.
        deconv = step.deconv.reshape(-1, len(NEIGHBOURS))
        self.deconv = packing.product(packing.pad(deconv, 0, self.channels))
        self.deconv_bias = float(step.deconv_bias[0])

    def __call__(self, run: Run, x: Plane, activity: Bytes, threshold: float) -> None:
        """Mark active and inactive pixels in `activity`, given the features."""
        height, width = run.size
        half = -(-height // 2), -(-width // 2)
        hidden = run.planes.plane("mask_hidden", self.channels, size=half)
        hidden2 = run.planes.plane("mask_hidden2", self.channels, size=half)
        with _edge_repeated(x, height, width):
            self.first(run, x, hidden, size=(2 * half[0], 2 * half[1]), relu=True, pool=True)
        self.second(run, hidden, hidden2, size=half, relu=True)
        run.kernels.rows(
            *half,
            all_pixels(*half),
            [(hidden2, 0, 0, 0, self.channels, None)],
            self.deconv,
            hidden,
            threads=run.threads,
        )
        run.kernels.decide(
            height,
            width,
            hidden,
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
