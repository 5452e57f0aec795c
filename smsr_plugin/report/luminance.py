"""Luminance, and the quality measured on it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: ITU-R BT.601, as MATLAB's `rgb2ycbcr` has it: R, G, B in 0…1 to Y in 16…235.
Y_WEIGHTS, Y_OFFSET = np.array([65.481, 128.553, 24.966]), 16.0
PEAK = 255.0

Luma = NDArray[np.float64]


def luma(rgb: NDArray[np.uint8]) -> Luma:
    """Return Y of an image (H, W, 3) of 0…255, not rounded, in 16…235."""
    return rgb @ (Y_WEIGHTS / PEAK) + Y_OFFSET


def psnr(y: Luma, reference: Luma, border: int) -> float | None:
    """Return the PSNR of two luminances, in dB; None where no pixel is left.

    Args:
        y, reference: (H, W).
        border: Pixels at each edge that do not count; the field takes the scale.
    """
    height, width = y.shape
    difference = (y - reference)[border : height - border, border : width - border]
    if not difference.size:
        return None
    error = float(np.mean(difference**2))
    return math.inf if error == 0 else 10 * math.log10(PEAK**2 / error)
