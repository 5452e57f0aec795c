"""What the kernels at tiles and pixels compute in: float32, or bfloat16 summed in float32."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from native_planes import rounded

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import BFLOAT16, BFLOAT16_MATRIX, FLOAT32

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")


class Products(NamedTuple):
    """An instruction set, and whether products and planes are in bfloat16."""

    isa: str
    half: bool = False

    def __str__(self):
        return self.isa + self.half * "-halves"

    @property
    def eps(self):
        """The relative error of a rounding, to 24 bits or to 8."""
        return 2.0**-8 if self.half else 2.0**-24

    @property
    def dtype(self):
        """What planes hold."""
        return np.uint16 if self.half else np.float32

    @property
    def line(self):
        """Channels of a line."""
        return packing.HALF_LINE if self.half else packing.LINE

    def kept(self, values):
        """Return what a plane keeps of values."""
        return rounded(values, self.dtype)

    def rounded(self, values):
        """Return what is multiplied in place of integers."""
        return rounded(values, np.uint16) if self.half else values

    def winograd(self, kernel):
        """Pack a (N, K, 3, 3) kernel for tiles."""
        return self.arithmetic.tile_weights(kernel.astype(np.float64))

    def taps(self, kernel):
        """Pack a (N, K, 3, 3) kernel for nine sources."""
        return self.arithmetic.taps(kernel)

    def product(self, weights, depths=None):
        """Pack (K, N) weights for sources of so many channels each, one without."""
        parts = np.split(weights, np.cumsum(depths)[:-1]) if depths else [weights]
        return self.arithmetic.row_weights(parts)

    def strided(self, kernel, first=0):
        """Pack a (N, K, 3, 3) kernel for a convolution with strides, of channels from one on."""
        return self.arithmetic.strided_weights(kernel, first)

    def attention(self, weights, first=0):
        """Pack the (K, N) weights of an attention's product, of channels from one on."""
        return self.arithmetic.attention_weights(weights, first)

    @property
    def arithmetic(self):
        """What packs weights."""
        if not self.half:
            return FLOAT32
        return BFLOAT16_MATRIX if self.isa == "amx" else BFLOAT16


#: Instruction sets with bfloat16 kernels share the float kernels of the one before.
FLOATS = [Products(isa) for isa in kernels.available() if not kernels.has_half(isa)]
HALVES = [Products(isa, half=True) for isa in kernels.available() if kernels.has_half(isa)]
per_products = pytest.mark.parametrize("products", FLOATS + HALVES, ids=str)
#: Those whose planes are in float32.
per_products_of_floats = pytest.mark.parametrize("products", FLOATS, ids=str)
