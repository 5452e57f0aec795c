"""Colour images for a network of one channel: luma through the network, chroma by bicubic.

As BasicSR's data sets with `color: y` have it: Y, Cb and Cr of ITU-R BT.601, Y in 16…235 of 255.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native.upsampling import taps_of

#: (C, H, W), 0…1.
Image = NDArray[np.float32]

#: Y, Cb, Cr = `_FROM_RGB` · RGB + `_OFFSET`, all in 0…1.
_FROM_RGB = (
    np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
    / 255
)
_TO_RGB = np.linalg.inv(_FROM_RGB).astype(np.float64)
_OFFSET = np.array([16.0, 128.0, 128.0]) / 255


def luma_and_chroma(rgb: Image) -> tuple[Image, Image]:
    """Split RGB (3, H, W) in 0…1 into Y (1, H, W) and Cb, Cr (2, H, W)."""
    ycbcr = _mix(rgb, _FROM_RGB) + _column(_OFFSET)
    return ycbcr[:1], ycbcr[1:]


def joined(luma: Image, chroma: Image) -> Image:
    """Return RGB (3, H·s, W·s) of Y (1, H·s, W·s) and of chroma (2, H, W), which is enlarged."""
    larger = _enlarged(chroma, luma.shape[1] // chroma.shape[1])
    return _mix(np.concatenate([luma, larger]) - _column(_OFFSET), _TO_RGB)


def _enlarged(image: Image, scale: int) -> Image:
    """Enlarge by bicubic interpolation, as PyTorch's `interpolate` without aligned corners."""
    for axis in (1, 2):
        image = _enlarged_along(image, scale, axis)
    return image


def _enlarged_along(image: Image, scale: int, axis: int) -> Image:
    taps = taps_of("bicubic", scale)
    reach = taps.shape[1] // 2
    rows = np.moveaxis(image, axis, 0)
    count = len(rows)
    rows = np.concatenate([rows[:1]] * reach + [rows] + [rows[-1:]] * reach)
    larger = np.empty((count, scale, *rows.shape[1:]), np.float32)
    for phase in range(scale):
        larger[:, phase] = sum(
            tap * rows[place : place + count] for place, tap in enumerate(taps[phase])
        )
    return np.moveaxis(larger.reshape(count * scale, *rows.shape[1:]), 0, axis)


def _mix(image: Image, matrix: NDArray[np.float64]) -> Image:
    return np.tensordot(matrix.astype(np.float32), image, 1)


def _column(values: NDArray[np.float64]) -> Image:
    return values.astype(np.float32)[:, None, None]
