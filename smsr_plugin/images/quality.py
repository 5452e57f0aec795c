"""PSNR and SSIM as the papers of the field print them.

The super-resolved image is clamped to 0…1 and rounded to 8 bits. A border as wide as the scale is
cut off. Y is that of ITU-R BT.601 from 8-bit RGB, 16…235, not rounded. SSIM has the 11×11 Gaussian
window of deviation 1.5 and is averaged over the positions at which the window lies inside the
image; for RGB it is the mean of the three channels'. BasicSR's metrics agree with these up to
rounding: they compute Y in float32.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from smsr_plugin.images.pixels import PEAK, Rgb, luma

#: Of SSIM's window; the image that is left when the border is cut off cannot be smaller.
WINDOW, DEVIATION = 11, 1.5


class Quality(NamedTuple):
    """How near an image is to its ground truth; PSNR in dB, infinite if they are equal."""

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float


def compare(sr: Rgb, gt: Rgb, border: int) -> Quality:
    """Compare an image with its ground truth.

    Args:
        sr: (H, W, 3) RGB, 0…255.
        gt: The same.
        border: Pixels to cut off at each side, usually the scale.

    Raises:
        ValueError: If the shapes differ, or less than 11×11 pixels are left to compare.
    """
    if sr.shape != gt.shape or sr.ndim != 3 or sr.shape[2] != 3:
        raise ValueError(f"expected two images (H, W, 3), got {sr.shape} and {gt.shape}")
    height, width = (side - 2 * border for side in sr.shape[:2])
    if min(height, width) < WINDOW:
        raise ValueError(
            f"an image of {sr.shape[1]}×{sr.shape[0]} is too small to compare: SSIM needs "
            f"{WINDOW}×{WINDOW} pixels inside a border of {border}"
        )
    inside = (slice(border, border + height), slice(border, border + width))
    rgb = [image[inside].astype(np.float64) for image in (sr, gt)]
    y = [luma(image) for image in rgb]
    return Quality(psnr(*y), ssim(*y), psnr(*rgb), ssim(*rgb))


def psnr(image: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the peak signal-to-noise ratio of values in 0…255, in dB."""
    mean_square = float(np.mean((image - other) ** 2))
    return 10 * math.log10(PEAK**2 / mean_square) if mean_square else math.inf


def psnr_inside(
    image: NDArray[np.float64], other: NDArray[np.float64], border: int
) -> float | None:
    """Return the PSNR without `border` pixels at each edge, None where no pixel is left."""
    height, width = image.shape[:2]
    inside = (slice(border, height - border), slice(border, width - border))
    return psnr(image[inside], other[inside]) if image[inside].size else None


def ssim(image: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the structural similarity of values in 0…255, (H, W) or (H, W, C)."""
    similarity: Any = structural_similarity(
        image,
        other,
        data_range=PEAK,
        gaussian_weights=True,
        sigma=DEVIATION,
        use_sample_covariance=False,
        channel_axis=None if image.ndim == 2 else -1,
    )
    return float(similarity)
