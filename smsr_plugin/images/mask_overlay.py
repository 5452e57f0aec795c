"""Spatial masks laid over the image that they belong to, and the colours of heat maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Every fifth of the 256 colours of viridis (S. van der Walt, N. Smith, E. Firing; CC0), in RGB.
STOPS = bytes.fromhex(
    "440154 46085c 471063 481769 481d6f 482475 472a7a 46307e 453781 433d84 414287 3f4889 3d4e8a "
    "3a538b 38598c 355e8d 33638d 31688e 2e6d8e 2c718e 2a768e 297b8e 27808e 25848e 23898e 218e8d "
    "20928c 1f978b 1e9c89 1fa188 21a585 24aa83 28ae80 2eb37c 35b779 3dbc74 46c06f 50c46a 5ac864 "
    "65cb5e 70cf57 7cd250 89d548 95d840 a2da37 b0dd2f bddf26 cae11f d8e219 e5e419 f1e51d fde725"
)

#: How much of the colour of a pixel is the mask's; the rest is the image in grey.
OPACITY = 0.6


def viridis(shares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colours, (…, 3) RGB, of values from 0, dark blue, to 255, yellow."""
    return _TABLE[shares]


def _table() -> NDArray[np.uint8]:
    stops = np.frombuffer(STOPS, np.uint8).reshape(-1, 3)
    places = np.arange(0, 256, 5)
    channels = [np.interp(np.arange(256), places, channel) for channel in stops.T]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


_TABLE = _table()


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
    colour = mask_colours(spa_mask)
    grey = np.asarray(Image.fromarray(lq).convert("L"), np.float32)[..., None]
    return np.rint(OPACITY * colour + (1 - OPACITY) * grey).astype(np.uint8)


def mask_colours(spa_mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the colours of `mask_overlay` alone, (H, W, 3), for masks (K, H, W)."""
    return viridis(np.rint(255 * spa_mask.mean(0)).astype(np.uint8))
