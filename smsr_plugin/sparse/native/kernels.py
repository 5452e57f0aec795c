"""The native kernels as the rest of the package sees them, and whether they are there.

What they compute is said in `csrc/kernels.h`; planes, lists and activity are those of `planes` and
`run`, weights those of `packing`.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Halves: TypeAlias = NDArray[np.uint16]
Bytes: TypeAlias = NDArray[np.uint8]
Signed: TypeAlias = NDArray[np.int8]
Indices: TypeAlias = NDArray[np.int32]
Sums: TypeAlias = NDArray[np.float64]

#: Plane, dy, dx, first channel, channels, and the activity outside of which zeros are read.
Source: TypeAlias = tuple[NDArray[Any], int, int, int, int, Bytes | None]
#: Height and width.
Size: TypeAlias = tuple[int, int]
#: Of each output the two inputs that it lies between, and its share of the way to the second.
Resampling: TypeAlias = tuple[Indices, Indices, Floats]
#: Weights, bias where the sum begins, plane, whether it ends with ReLU.
Chain: TypeAlias = tuple[NDArray[Any], Floats | None, NDArray[Any], bool]

#: Weights, bias, what is read of skipped pixels, ReLU, its slope below zero, or one an output.
BlockConv: TypeAlias = tuple[
    NDArray[Any], Floats | None, NDArray[Any] | None, bool, float, Floats | None
]
#: Channels of each source, weights, bias.
BlockProduct: TypeAlias = tuple[Sequence[int], NDArray[Any], Floats]
#: Plane with the rows of its product, and the first channel of them; weights; size and plane of the
#: coarse map, and how that is resampled, down and across.
BlockAttention: TypeAlias = tuple[
    NDArray[Any], int, NDArray[Any], Size, Floats, Resampling, Resampling
]
#: Planes, of each of them how many channels; weights; bias.
BlendSide: TypeAlias = tuple[Sequence[tuple[NDArray[Any], int]], NDArray[Any], Floats]


class Kernels(Protocol):
    """The module `smsr_plugin._kernels`."""

    MAX_CHANNELS: int
    ACTIVE: int
    INACTIVE: int

    def isa(self) -> str: ...

    def has_half(self) -> bool: ...

    def has_bytes(self) -> bool: ...

    def tiles(
        self,
        height: int,
        width: int,
        tiles: Indices,
        x: NDArray[Any],
        weights: NDArray[Any],
        out: NDArray[Any],
        *,
        bias: Floats | None = None,
        residual: NDArray[Any] | None = None,
        relu: bool = False,
        pool: bool = False,
        pooled: tuple[NDArray[Any], int] | None = None,
        activity_in: Bytes | None = None,
        k_dense: int = 0,
        rest: NDArray[Any] | None = None,
        unit: Floats | None = None,
        activity_out: Bytes | None = None,
        stored: int = ...,
        sums: bool = False,
        slope: float = 0.0,
        slopes: Floats | None = None,
        residual_last: bool = False,
        threads: int = 1,
    ) -> Any: ...

    def rows(
        self,
        height: int,
        width: int,
        pixels: Indices,
        sources: Sequence[Source],
        weights: NDArray[Any],
        out: NDArray[Any],
        *,
        bias: Floats | None = None,
        residual: NDArray[Any] | None = None,
        relu: bool = False,
        sums: bool = False,
        chain: Chain | None = None,
        slope: float = 0.0,
        slopes: Floats | None = None,
        residual_last: bool = False,
        scale: Floats | None = None,
        unit: Floats | None = None,
        levels: tuple[Signed, float] | None = None,
        threads: int = 1,
    ) -> Any: ...

    def image(
        self,
        lq: Floats,
        weights: Floats,
        out: NDArray[Any],
        *,
        has_ones: bool = False,
        bias: Floats | None = None,
        relu: bool = False,
        slope: float = 0.0,
        slopes: Floats | None = None,
        threads: int = 1,
    ) -> None: ...

    def compose(
        self,
        lq: Floats,
        residual: Floats,
        taps: Floats | None,
        sr: Floats,
        *,
        scale: int,
        threads: int = 1,
    ) -> None: ...

    def decide(
        self,
        height: int,
        width: int,
        products: Floats,
        bias: float,
        threshold: float,
        activity: Bytes,
        *,
        threads: int = 1,
    ) -> None: ...

    def list_active(
        self, height: int, width: int, activity: Bytes, *, threads: int = 1
    ) -> tuple[Indices, Indices, Indices, Indices]: ...

    def strided(
        self,
        size: Size,
        x: NDArray[Any],
        weights: NDArray[Any],
        out_size: Size,
        out: Floats,
        *,
        padding: int,
        first: int = 0,
        bias: Floats | None = None,
        relu: bool = False,
        threads: int = 1,
    ) -> None: ...

    def maximum(
        self,
        size: Size,
        x: Floats,
        side: int,
        step: int,
        out_size: Size,
        out: Floats,
        *,
        threads: int = 1,
    ) -> None: ...

    def attend(
        self,
        size: Size,
        x: NDArray[Any],
        row: NDArray[Any],
        weights: NDArray[Any],
        coarse_size: Size,
        coarse: Floats,
        down: Resampling,
        across: Resampling,
        out: NDArray[Any],
        *,
        first: int = 0,
        threads: int = 1,
    ) -> None: ...

    def blend(
        self,
        size: Size,
        activity: Bytes,
        active: BlendSide,
        inactive: BlendSide,
        out: NDArray[Any],
        *,
        threads: int = 1,
    ) -> None: ...

    def block(
        self,
        size: Size,
        x: NDArray[Any],
        convs: Sequence[BlockConv],
        active_tiles: Indices,
        inactive_tiles: Indices,
        activity: Bytes,
        active: BlockProduct,
        inactive: BlockProduct,
        out: NDArray[Any],
        *,
        adds_x: bool = False,
        partly: bool = False,
        narrow: BlockConv | None = None,
        attention: BlockAttention | None = None,
        threads: int = 1,
    ) -> None: ...

    def details(self, lq: Floats, levels: float, out: Floats, *, threads: int = 1) -> None: ...


@cache
def load_kernels() -> Kernels | None:
    """Return `smsr_plugin._kernels`, or None, saying so once, where it was not built."""
    try:
        return cast(Kernels, importlib.import_module("smsr_plugin._kernels"))
    except ImportError as error:
        logging.getLogger(__name__).warning(
            "sparse inference runs in plain PyTorch: the native kernels are not available (%s); "
            "to build them, install a C++17 compiler and then smsr_plugin again",
            error,
        )
        return None


@cache
def say_slow(obstacle: str) -> None:
    """Log once for each reason that sparse inference takes the slow path although it is built."""
    logging.getLogger(__name__).warning(
        "sparse inference runs in plain PyTorch, which is slower: %s", obstacle
    )
