"""Figures of masks: how dense each is, and how it follows the edges of the image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.images.pixels import luma


class MaskFigures(NamedTuple):
    """Figures of the spatial masks of one image, each (K,), one for a block."""

    density: NDArray[np.float64]  #: Share of important pixels.
    deviation: NDArray[np.float64]  #: Standard deviation over the pixels; 0 for all or none.
    correlation: NDArray[np.float64]  #: With the gradient's magnitude; 0 for all or none.


def mask_figures(lq: NDArray[np.uint8], spa_mask: NDArray[np.bool_]) -> MaskFigures:
    """Measure the masks of an image.

    The gradient is that of the luma of lq by central differences; the correlation is taken with
    the logarithm of 1 + its magnitude in levels of 255, since a few strong edges would decide
    otherwise.

    Args:
        lq: (H, W, 3) RGB, H and W from 2.
        spa_mask: (K, H, W).

    Raises:
        ValueError: If the sizes do not fit.
    """
    if spa_mask.ndim != 3 or spa_mask.shape[1:] != lq.shape[:2]:
        raise ValueError(
            f"expected masks (K, {lq.shape[0]}, {lq.shape[1]}) for this image, got {spa_mask.shape}"
        )
    down, right = np.gradient(luma(lq))
    level = np.log1p(np.hypot(down, right)).ravel()
    level = level - level.mean()
    pixels = spa_mask.reshape(len(spa_mask), -1).astype(np.float64)
    density = pixels.mean(1)
    deviation = np.sqrt(density * (1 - density))
    covariance = (pixels - density[:, None]) @ level / level.size
    spread = deviation * level.std()
    correlation = np.divide(covariance, spread, out=np.zeros_like(spread), where=spread > 0)
    return MaskFigures(density, deviation, correlation)
