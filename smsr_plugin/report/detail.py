"""Where an image has detail, and how the masks follow it.

The method rests on this: bicubic interpolation enlarges flat regions well enough, so that a network
is needed at edges and textures only. High frequencies are what a blur takes away from the
luminance; what bicubic interpolation misses is measured against the ground truth or, without
one, against the network's own result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from smsr_plugin.images.pixels import Luma, Rgb, luma

#: Standard deviation of the blur, in lq pixels, and of the average of energy around a pixel.
BLUR_SIGMA, AROUND_SIGMA = 1.5, 2.0
#: In how many parts of equal size the pixels are sorted.
GROUPS = 10


@dataclass(frozen=True)
class Contrast:
    """The mean of an energy over the pixels inside and outside of masks.

    Attributes:
        inside, outside: The means, in squared grey levels of 255; None where there is no pixel.
        held: The share of the energy that lies inside, in 0…1; None if there is no energy. For
            several masks, their mean.
    """

    inside: float | None
    outside: float | None
    held: float | None


class DetailMaps(NamedTuple):
    """Where an image has detail, pixel by pixel.

    Attributes:
        y: (H, W), the luminance of the lq image.
        high: (H, W), |Y − blurred Y|, in grey levels.
        missed: (H·s, W·s), |Y of the reference − Y of bicubic interpolation|, in grey levels.
    """

    y: Luma
    high: Luma
    missed: Luma


@dataclass(frozen=True)
class Detail:
    """The detail of an image beside its masks.

    Attributes:
        high_contrast, missed_contrast: Of the squares of the maps, all blocks together.
        block_contrasts: Of the squares of `high`, for each block.
        group_density: For each of `GROUPS` groups of pixels, in the order of the high-frequency
            energy around them, the mean density of the masks; fewer for images of fewer pixels.
        group_missed: For each group its share of the squares of `missed`; zeros if there are none.
    """

    high_contrast: Contrast
    missed_contrast: Contrast
    block_contrasts: tuple[Contrast, ...]
    group_density: tuple[float, ...]
    group_missed: tuple[float, ...]


def detail_maps(lq: Rgb, bicubic: Rgb, reference: Rgb) -> DetailMaps:
    """Find where an image has detail.

    Args:
        lq: (H, W, 3) RGB, 0…255.
        bicubic: (H·s, W·s, 3), the image enlarged by interpolation.
        reference: (H·s, W·s, 3), the ground truth or the network's result.
    """
    y = luma(lq)
    missed = np.abs(luma(reference) - luma(bicubic))
    return DetailMaps(y, np.abs(y - _blurred(y, BLUR_SIGMA)), missed)


def compare_detail(maps: DetailMaps, spa_mask: NDArray[np.bool_]) -> Detail:
    """Compare the detail of an image with its masks, (K, H, W)."""
    energy = maps.high**2
    missed_energy = _cell_means(maps.missed**2, *energy.shape)
    groups = _groups(_blurred(energy, AROUND_SIGMA))
    total = missed_energy.sum() or 1.0
    density = spa_mask.mean(0)
    return Detail(
        contrast(energy, spa_mask),
        contrast(missed_energy, spa_mask),
        tuple(contrast(energy, mask[None]) for mask in spa_mask),
        tuple(float(density.ravel()[group].mean()) for group in groups),
        tuple(float(missed_energy.ravel()[group].sum() / total) for group in groups),
    )


def contrast(energy: Luma, spa_mask: NDArray[np.bool_]) -> Contrast:
    """Return the means of an energy (H, W) inside and outside of masks (K, H, W)."""
    share = spa_mask.mean(0)
    total = float(energy.sum())
    return Contrast(
        _weighted_mean(energy, share),
        _weighted_mean(energy, 1 - share),
        float((share * energy).sum()) / total if total else None,
    )


def _weighted_mean(values: Luma, weights: NDArray[np.float64]) -> float | None:
    total = float(weights.sum())
    return float((values * weights).sum()) / total if total else None


def _groups(values: Luma) -> list[NDArray[np.intp]]:
    """Return the indices of the pixels in `GROUPS` groups of ascending values, none empty."""
    order = np.argsort(values, axis=None, kind="stable")
    return [group for group in np.array_split(order, GROUPS) if group.size]


def _cell_means(values: Luma, height: int, width: int) -> Luma:
    """Return the means of the s×s pixels that belong to each lq pixel."""
    return values.reshape(height, values.shape[0] // height, width, -1).mean((1, 3))


def _blurred(values: Luma, sigma: float) -> Luma:
    return np.asarray(gaussian_filter(values, sigma, mode="nearest"), np.float64)
