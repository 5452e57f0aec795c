"""The time below which no direct computation of the kept operations can go.

    floor = 2 · kept multiply-adds / fp32 peak

The peak is measured: the fastest run of a large matrix product among the engines' turns. The floor
leaves out reading and writing memory, activations, masks, pooling and interpolation, and every
tile or vector that is only partly active. Two things may go below it: bf16, which has a higher
peak, and Winograd's convolution, F(4×4, 3×3), which needs 36 products where the direct one needs
144: `WINOGRAD_SAVING` = 4 is what it could gain at most, if all operations were 3×3 convolutions
(1×1 convolutions gain nothing) and its transforms cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Height, width and depth of the matrix product.
MATMUL_SIDE = 2048
WINOGRAD_SAVING = 144 / 36


def peak_flops(seconds: Sequence[float]) -> float:
    """Return operations per second (a multiply-add is two) of the fastest matrix product."""
    return 2 * MATMUL_SIDE**3 / min(seconds)


def floor_seconds(macs: float, flops: float) -> float:
    """Return the least time of `macs` multiply-adds at `flops` operations per second."""
    return 2 * macs / flops
