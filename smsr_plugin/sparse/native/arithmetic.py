"""What an arithmetic offers to the native engine, and which one runs the dtype of the weights.

Three modules offer it: `float32`, `bfloat16` and `bfloat16_matrix`, each on the one before.
Kernels and biases are given to them in float64, (N, K, 3, 3) or (K, N), and (N,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from smsr_plugin.archs.steps import Slope
from smsr_plugin.sparse.native import bfloat16, bfloat16_matrix, float32
from smsr_plugin.sparse.native.kernels import Chain, Floats, Kernels
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane, Planes
from smsr_plugin.sparse.native.run import MaskLists, Run


class ImageConv(Protocol):
    """The 3×3 convolution that sees the image: (N, channels + 1, 3, 3), the last input is 1."""

    def __call__(self, run: Run, lq: Floats, out: Plane) -> None:
        """Convolve `lq` (channels, H, W)."""
        ...


class MapConv(Protocol):
    """A 3×3 convolution at every pixel."""

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
        """Convolve a plane of the image's or another size; `residual` may be `out`."""
        ...


class MapProduct(Protocol):
    """A 1×1 convolution over the concatenation of planes, at every pixel."""

    def __call__(
        self,
        run: Run,
        xs: Sequence[Plane],
        out: Plane,
        *,
        bias: bool = True,
        residual: Plane | None = None,
        relu: bool = False,
    ) -> None: ...


class MaskedConv(Protocol):
    """A 3×3 convolution with a mask; dense channels come first, among inputs and outputs."""

    def __call__(self, run: Run, x: Plane, out: Plane, mask: MaskLists) -> Array:
        """Convolve a plane; return the sum of each output channel."""
        ...


class Fuse(Protocol):
    """A 1×1 product over the outputs of masked convolutions, scaled, plus a plane."""

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
        """Write residual + scale·(xs·weights + bias) to `out`, which may be `residual`."""
        ...


class Arithmetic(Protocol):
    """The operations in one arithmetic."""

    @property
    def ITEMSIZE(self) -> int:
        """Bytes of a feature."""
        ...

    def tile_weights(self, kernel: Array) -> NDArray[Any]:
        """Pack a (N, K, 3, 3) kernel for tiles."""
        ...

    def row_weights(self, weights: Sequence[Array]) -> NDArray[Any]:
        """Pack the (K, N) weights of planes for rows of pixels, and for chains.

        In a chain a product over blocks' outputs is summed up while a fuse has them at hand.
        """
        ...

    def strided_weights(self, kernel: Array) -> NDArray[Any]:
        """Pack a (N, K, 3, 3) kernel for a convolution with strides, K even."""
        ...

    def attention_weights(self, weights: Array) -> NDArray[Any]:
        """Pack the (K, N) weights of an attention's product, K even."""
        ...

    def constants(self, values: Array) -> NDArray[Any]:
        """Pack (K,) values of a pixel as planes hold them."""
        ...

    def plane(
        self,
        planes: Planes,
        name: str,
        channels: int,
        *,
        room: int = 0,
        size: tuple[int, int] | None = None,
    ) -> Plane:
        """Return a plane of features; see `Planes.plane`."""
        ...

    def ImageConv(self, kernel: Array, bias: Array, slope: Slope[Array]) -> ImageConv: ...

    def MapConv(self, kernel: Array, bias: Array) -> MapConv: ...

    def LastConv(self, kernel: Array, bias: Array) -> MapConv:
        """As `MapConv`; its outputs are float32 in any arithmetic."""
        ...

    def MapProduct(self, weights: Sequence[Array], bias: Array) -> MapProduct: ...

    def MaskedConv(
        self, kernel: Array, dense: int, dense_in: int, bias: Array | None, relu: bool
    ) -> MaskedConv: ...

    def Fuse(self, weights: Sequence[Array], dense: Sequence[int], bias: Array) -> Fuse: ...


#: By the name of the dtype that weights have.
PRECISIONS = ("float32", "bfloat16")


def arithmetic_for(precision: str, kernels: Kernels) -> Arithmetic:
    """Return that of one of `PRECISIONS` for the instruction set in use."""
    if precision == "float32":
        return float32
    return bfloat16_matrix if kernels.isa() == "amx" else bfloat16
