"""A block on the native kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.block import SparseBlock
from smsr_plugin.sparse.native.mask import MaskPredictor
from smsr_plugin.sparse.native.packing import Array, as_array
from smsr_plugin.sparse.native.run import BlockMask, Run
from smsr_plugin.timing import Timer


class NativeBlock:
    """The form of `SparseBlock` that runs on the native kernels."""

    def __init__(self, block: SparseBlock, threshold: float, arithmetic: Any) -> None:
        self.plane = arithmetic.plane
        self.predict_mask = MaskPredictor(block, threshold, arithmetic)
        self.layers = []
        dense_in: int | None = None
        for layer in block.layers:
            dense = layer.d2d.shape[0]
            self.layers.append(arithmetic.Layer(as_array(layer.kernel()), dense, dense_in))
            dense_in = dense
        fuse = [as_array(layer.fuse()) for layer in block.layers]
        self.fuse_weight, self.fuse_bias = np.concatenate(fuse), as_array(block.fuse_bias)
        self.fuse = arithmetic.Fuse(fuse, [layer.dense for layer in self.layers], self.fuse_bias)
        self.squeeze = as_array(block.squeeze.weight).squeeze((2, 3))
        self.squeeze_bias = as_array(block.squeeze.bias)
        self.excite = as_array(block.excite.weight).squeeze((2, 3))
        self.excite_bias = as_array(block.excite.bias)

    def __call__(
        self, run: Run, x: NDArray, out: NDArray, mask: BlockMask, chain: Any, timer: Timer
    ) -> None:
        """Compute the block from plane `x` into plane `out`, which may be `x`."""
        planes, means, value = [], [], x
        with timer("sparse layers"):
            for index, layer in enumerate(self.layers):
                planes.append(self.plane(run.planes, f"layer{index}", layer.channels))
                sums = layer(run, value, planes[-1], mask)
                means.append(sums / run.pixel_count)
                value = planes[-1]
        with timer("fuse"):
            self.fuse(run, x, planes, out, mask, self._attention(np.concatenate(means)), chain)

    def _attention(self, mean: Array) -> Array:
        """Return each channel's scale from the means of all layers' outputs.

        The fuse is linear: the mean of the fused features is the fuse of the means, and needs no
        pass over them.
        """
        fused = mean @ self.fuse_weight + self.fuse_bias
        hidden = np.maximum(self.squeeze @ fused + self.squeeze_bias, 0)
        return 1 / (1 + np.exp(-(self.excite @ hidden + self.excite_bias)))
