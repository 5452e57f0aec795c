"""Spatial masks laid over the image that they belong to."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: How much of the colour of a pixel is the mask's; the rest is the image in grey.
OPACITY = 0.6


def mask_overlay(lq: NDArray[np.uint8], spa_mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Colour each pixel by the share of the blocks that compute it.

    Args:
        lq: (H, W, 3) RGB, 0…255.
        spa_mask: (K, H, W), the important pixels of K blocks; (1, H, W) for one of them.

    Returns:
        (H, W, 3) RGB, 0…255: viridis from dark blue (no block) to yellow (every block), over the
        image in grey.

    Raises:
        ValueError: If the sizes differ.
    """
    if lq.shape != (*spa_mask.shape[1:], 3):
        raise ValueError(
            f"expected an image (H, W, 3) and masks (K, H, W), got {lq.shape} and {spa_mask.shape}"
        )
    share = np.rint(255 * spa_mask.mean(0)).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(share, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(cv2.cvtColor(lq, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(colour, OPACITY, grey, 1 - OPACITY, 0).astype(np.uint8, copy=False)
