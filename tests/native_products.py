"""The products that the float planes' kernels compute: float32, or bfloat16 summed in float32."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from native_planes import rounded

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

PAIR = 2


class Products(NamedTuple):
    """An instruction set, and whether it multiplies in bfloat16."""

    isa: str
    half: bool = False

    def __str__(self):
        return f"{self.isa}-products" if self.half else self.isa

    @property
    def eps(self):
        """The relative error of a rounding, to 24 bits or to 8."""
        return 2.0**-8 if self.half else 2.0**-24

    def rounded(self, values):
        """Return what is multiplied in place of integers."""
        return rounded(values, np.uint16) if self.half else values

    def winograd(self, kernel):
        """Pack a (N, K, 3, 3) kernel for tiles."""
        return self._pairs(packing.winograd(kernel.astype(np.float64)))

    def taps(self, kernel):
        """Pack a (N, K, 3, 3) kernel for nine sources."""
        return self._pairs(packing.taps(packing.pad(kernel, 1, self._whole(kernel.shape[1]))))

    def product(self, weights, depths=None):
        """Pack (K, N) weights for sources of so many channels each, one without."""
        parts = np.split(weights, np.cumsum(depths)[:-1]) if depths else [weights]
        whole = [packing.pad(part, 0, self._whole(len(part))) for part in parts]
        return self._pairs(packing.product(np.concatenate(whole)))

    def _whole(self, depth):
        return packing.padded(depth, PAIR) if self.half else depth

    def _pairs(self, packed):
        return packing.half(packing.pairs(packed)) if self.half else packed


#: Instruction sets with bfloat16 kernels share the float kernels of the one before.
FLOATS = [Products(isa) for isa in kernels.available() if not kernels.has_half(isa)]
#: AMX shares the products of pairs.
HALVES = [Products(isa, half=True) for isa in kernels.available() if isa == "avx512_bf16"]
per_products = pytest.mark.parametrize("products", FLOATS + HALVES, ids=str)
