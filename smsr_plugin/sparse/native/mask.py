"""The mask predictor on the native kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.block import SparseBlock
from smsr_plugin.sparse.native import float32, packing
from smsr_plugin.sparse.native.run import NEIGHBOURS, Run, all_pixels


class MaskPredictor:
    """The hourglass that decides which pixels of a block are active.

    Its first convolution, at full size, uses the arithmetic of the features; what follows the
    pooling is small and is done in float32.
    """

    def __init__(self, block: SparseBlock, threshold: float, arithmetic: Any) -> None:
        first, second = block.mask_conv1, block.mask_conv2
        self.threshold = threshold
        self.channels = packing.padded(first.out_channels)
        self.first = arithmetic.MapConv(
            packing.as_array(first.weight), packing.as_array(first.bias)
        )
        self.second = float32.MapConv(
            packing.as_array(second.weight), packing.as_array(second.bias)
        )
        # The transposed convolution's products with its nine taps; `decide` adds up those that
        # meet in a pixel.
        deconv = packing.as_array(block.deconv_weight).reshape(-1, len(NEIGHBOURS))
        self.deconv = packing.product(packing.pad(deconv, 0, self.channels))
        self.deconv_bias = float(block.deconv_bias)

    def __call__(self, run: Run, x: NDArray, activity: NDArray[np.uint8]) -> None:
        """Mark active and inactive pixels in `activity`, given the block's input plane."""
        height, width = run.size
        half = -(-height // 2), -(-width // 2)
        hidden = run.planes.plane("mask_hidden", self.channels, half=True)
        hidden2 = run.planes.plane("mask_hidden2", self.channels, half=True)
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
            height, width, hidden, self.deconv_bias, self.threshold, activity, threads=run.threads
        )


@contextmanager
def _edge_repeated(x: NDArray, height: int, width: int) -> Iterator[None]:
    """Make the size of the image in plane `x` even by repeating its last row and column.

    They are written into the border, whose zeros are put back afterwards.
    """
    rows, columns = height + height % 2, width + width % 2
    x[:, rows] = x[:, height]
    x[:, :, columns] = x[:, :, width]
    yield
    x[:, height + 1 :] = 0
    x[:, :, width + 1 :] = 0
