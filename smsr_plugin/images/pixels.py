"""Between the numbers of files, 0…255 or 0…65535, and those of networks, 0…1: nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.images.errors import ImageError

#: Pixels as integers of 8 or 16 bits, over the whole range of their type.
Pixels = NDArray[np.uint8 | np.uint16]
#: (H, W, 3) RGB, 0…255.
Rgb = NDArray[np.uint8]
#: (H, W), Y of BT.601, 16…235.
Luma = NDArray[np.float64]

#: The largest value of 8 bits, in which quality is measured.
PEAK = 255
#: BT.601 for values in 0…255: Y = 16 + the sum of these times R, G, B.
LUMA_WEIGHTS = np.array([65.481, 128.553, 24.966]) / PEAK
LUMA_OFFSET = 16.0

#: Values that are rounded at once.
AT_ONCE = 1 << 20


def to_unit(pixels: Pixels) -> NDArray[np.float32]:
    """Return pixels as float32 in 0…1."""
    unit = pixels.astype(np.float32)
    unit /= np.float32(np.iinfo(pixels.dtype).max)
    return unit


def from_unit(
    values: NDArray[np.floating[Any]], dtype: type[np.uint8 | np.uint16] | np.dtype[Any] = np.uint8
) -> Pixels:
    """Return values as pixels of `dtype`: clamped to 0…1 and rounded to the nearest, ties to even.

    Computed in float32, as BasicSR does for its metrics.

    Raises:
        ImageError: If a value is NaN or infinite.
    """
    pixels = np.empty(values.shape, dtype)
    if values.ndim == 0:
        pixels[()] = _rounded(values, pixels.dtype)
        return pixels
    rows = max(1, AT_ONCE * len(values) // max(values.size, 1))
    for start in range(0, len(values), rows):  # what is on the way stays small
        part = values[start : start + rows]
        pixels[start : start + rows] = _rounded(part, pixels.dtype)
    return pixels


def _rounded(values: NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise ImageError("the network makes NaN or infinity of it: its weights may be damaged")
    scaled = np.clip(values.astype(np.float32, copy=False), 0, 1)
    scaled *= np.float32(np.iinfo(dtype).max)
    return np.rint(scaled, out=scaled)


def as_lq(rgb: Rgb) -> NDArray[np.float32]:
    """Return (H, W, 3) in 0…255 as a batch of one for a network: (1, 3, H, W), 0…1, contiguous."""
    return np.ascontiguousarray(to_unit(rgb).transpose(2, 0, 1)[None])


def to_image(sr: NDArray[np.floating[Any]]) -> Rgb:
    """Return a network's output (1, 3, H, W), about 0…1, as (H, W, 3) in 0…255.

    Raises:
        ImageError: If it is not finite.
    """
    return np.ascontiguousarray(from_unit(sr[0].transpose(1, 2, 0)), np.uint8)


def luma(rgb: NDArray[Any]) -> Luma:
    """Return Y of (…, 3) RGB in 0…255 as (…) in 16…235."""
    return rgb @ LUMA_WEIGHTS + LUMA_OFFSET


def eight_bits(pixels: Pixels) -> NDArray[np.uint8]:
    """Return pixels of 16 bits as the nearest ones of 8, and those of 8 as they are."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def spread(values: NDArray[np.unsignedinteger[Any]], largest: int) -> Pixels:
    """Return values in 0…`largest`, at most 65535, over the whole range of 8 or 16 bits."""
    dtype = np.dtype(np.uint8 if largest <= PEAK else np.uint16)
    top = int(np.iinfo(dtype).max)
    if largest == top:
        return values.astype(dtype, copy=False)
    return ((values.astype(np.uint32) * top + largest // 2) // largest).astype(dtype)


def over_white(colour: Pixels, alpha: Pixels) -> NDArray[np.uint8]:
    """Return 8-bit colour (H, W, C) as it looks on white through its opacity (H, W)."""
    opacity = alpha[..., None].astype(np.uint32)
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def unmultiplied(colour: Pixels, alpha: Pixels) -> Pixels:
    """Return colour (H, W, C) that was multiplied by its opacity (H, W) as it was before."""
    top = int(np.iinfo(colour.dtype).max)
    opacity = np.maximum(alpha, 1)[..., None].astype(np.uint32)
    restored = (colour.astype(np.uint32) * top + opacity // 2) // opacity
    return np.minimum(restored, top).astype(colour.dtype)
