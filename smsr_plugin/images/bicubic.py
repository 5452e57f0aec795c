"""MATLAB's bicubic resizing of 8-bit images by whole factors, bit for bit.

`imresize(img, s, "bicubic")` filters the rows, rounds to uint8, filters the columns and rounds
again. Its kernel is Keys' cubic with a = -1/2, which at whole factors takes its values at
multiples of 1/(2·scale) only. All weights are therefore integers over one denominator, and the
sums below are exact: no rounding error decides which way a tie goes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Up to here every sum fits an int32.
MAX_SCALE = 16
#: Values per slab of rows: small enough for the sums of a slab to stay in the cache.
_SLAB = 1 << 16

Image = NDArray[np.uint8]


def mod_crop(image: Image, scale: int) -> Image:
    """Cut the bottom and right so that height and width are multiples of the scale.

    Args:
        image: (H, W) or (H, W, C), uint8.
        scale: 2 … `MAX_SCALE`.

    Returns:
        A view of the image.

    Raises:
        TypeError: If the image is not a uint8 array or the scale not an integer.
        ValueError: If the image is not 2-D or 3-D or is smaller than the scale, or the scale is
            out of range.
    """
    _check(image, scale)
    height, width = (size - size % scale for size in image.shape[:2])
    if not height or not width:
        raise ValueError(
            f"an image of height {image.shape[0]} and width {image.shape[1]} is too small for "
            f"scale {scale}: at least {scale}×{scale} pixels are needed"
        )
    return image[:height, :width]


def downscale(hr: Image, scale: int) -> Image:
    """Shrink as MATLAB's `imresize(hr, 1/scale, "bicubic")` does, with antialiasing.

    The image is first cropped to a multiple of the scale.

    Args:
        hr: (H, W) or (H, W, C), uint8.
        scale: 2 … `MAX_SCALE`.

    Returns:
        (H // scale, W // scale) or (H // scale, W // scale, C), uint8.

    Raises:
        TypeError, ValueError: As `mod_crop`.
    """
    return _resize(mod_crop(hr, scale), _shrinking_kernel(scale))


def upscale(lr: Image, scale: int) -> Image:
    """Enlarge as MATLAB's `imresize(lr, scale, "bicubic")` does.

    Args:
        lr: (H, W) or (H, W, C), uint8.
        scale: 2 … `MAX_SCALE`.

    Returns:
        (H · scale, W · scale) or (H · scale, W · scale, C), uint8.

    Raises:
        TypeError: If the image is not a uint8 array or the scale not an integer.
        ValueError: If the image is not 2-D or 3-D or is empty, or the scale is out of range.
    """
    _check(lr, scale)
    return _resize(lr, _enlarging_kernel(scale))


def _check(image: Image, scale: int) -> None:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"the image must be a numpy array of uint8 values, got {kind}")
    if image.ndim not in (2, 3):
        raise ValueError(f"the image must have shape (H, W) or (H, W, C), got {image.shape}")
    if not image.size:
        raise ValueError(f"the image is empty: its shape is {image.shape}")
    if not isinstance(scale, (int, np.integer)) or isinstance(scale, bool):
        raise TypeError(f"the scale must be an integer, got {scale!r}")
    if not 2 <= scale <= MAX_SCALE:
        raise ValueError(f"the scale must be from 2 to {MAX_SCALE}, got {scale}")


@dataclass(frozen=True)
class _Kernel:
    """Integer weights of a resize along one axis.

    Output row q·len(phases) + r is the sum over k of phases[r][k] / total times input row
    q·stride + first + k.
    """

    stride: int
    first: int
    phases: tuple[tuple[int, ...], ...]
    total: int


def _cubic(distance: int, unit: int) -> int:
    """Keys' cubic at distance/unit, times 2·unit³."""
    d, u = abs(distance), unit
    if d <= u:
        return 3 * d**3 - 5 * d**2 * u + 2 * u**3
    if d <= 2 * u:
        return -(d**3) + 5 * d**2 * u - 8 * d * u**2 + 4 * u**3
    return 0


@lru_cache
def _shrinking_kernel(scale: int) -> _Kernel:
    # Output row q is centred on input row q·scale + (scale - 1)/2; against aliasing the kernel is
    # as wide as `scale` of its own units.
    first = -((3 * scale + 1) // 2)
    last = scale - 1 - first
    weights = [_cubic(2 * k - (scale - 1), 2 * scale) for k in range(first, last + 1)]
    return _reduced(scale, first, [weights])


@lru_cache
def _enlarging_kernel(scale: int) -> _Kernel:
    # Output row q·scale + r is centred on input row q + (2r + 1 - scale)/(2·scale).
    centres = [2 * r + 1 - scale for r in range(scale)]
    phases = [[_cubic(2 * scale * k - c, 2 * scale) for k in range(-2, 3)] for c in centres]
    return _reduced(1, -2, phases)


def _reduced(stride: int, first: int, phases: list[list[int]]) -> _Kernel:
    divisor = math.gcd(*(weight for phase in phases for weight in phase))
    reduced = tuple(tuple(weight // divisor for weight in phase) for phase in phases)
    return _Kernel(stride, first, reduced, total=sum(reduced[0]))


def _resize(image: Image, kernel: _Kernel) -> Image:
    rows_done = _resize_rows(image, kernel)
    return np.ascontiguousarray(_resize_rows(rows_done.swapaxes(0, 1), kernel).swapaxes(0, 1))


def _resize_rows(image: Image, kernel: _Kernel) -> Image:
    # MATLAB mirrors the image at its borders, the border row included; so does "symmetric".
    rows = np.ascontiguousarray(image).reshape(image.shape[0], -1)
    count = rows.shape[0] // kernel.stride
    taps = len(kernel.phases[0])
    after = (count - 1) * kernel.stride + kernel.first + taps - rows.shape[0]
    rows = np.pad(rows, ((-kernel.first, max(after, 0)), (0, 0)), mode="symmetric")
    out = np.empty((count, len(kernel.phases), rows.shape[1]), dtype=np.uint8)
    slab = max(1, _SLAB // rows.shape[1])
    for start in range(0, count, slab):
        stop = min(start + slab, count)
        for r, weights in enumerate(kernel.phases):
            out[start:stop, r] = _weighted_sum(rows, weights, kernel, start, stop)
    return out.reshape(-1, *image.shape[1:])


def _weighted_sum(
    rows: Image, weights: tuple[int, ...], kernel: _Kernel, start: int, stop: int
) -> Image:
    total = np.full((stop - start, rows.shape[1]), kernel.total // 2, dtype=np.int32)
    span = (stop - start - 1) * kernel.stride + 1
    product = np.empty_like(total)
    for k, weight in enumerate(weights):
        if weight:
            first = start * kernel.stride + k
            np.multiply(rows[first : first + span : kernel.stride], np.int32(weight), out=product)
            total += product
    # Rounding half up: a negative half would round away from zero, but is clipped to 0 anyway.
    total //= kernel.total
    return np.clip(total, 0, 255, out=total).astype(np.uint8)
