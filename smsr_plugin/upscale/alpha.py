"""Transparency: what lies under it must not show at its edges, and opaque must stay opaque."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def filled_colour(colour: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Let the colours that can be seen flow into what is fully transparent.

    A file may hold any colour there, often black, and the network would mix it into the pixels at
    the edge. What is put there is smooth, so that the masks find nothing to compute in it.

    Args:
        colour: (H, W, C).
        alpha: (H, W), 0 where nothing can be seen.

    Returns:
        (H, W, C), the same where something can be seen, and everywhere if nothing can.
    """
    seen = (alpha > 0).astype(np.float32)
    if not seen.any() or seen.all():
        return colour
    return _filled(colour, seen)


def _filled(colour: NDArray[np.float32], seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill from the same image at half the size, and so on until there is nothing left to fill."""
    import cv2  # slow to import, and needed for transparency only

    if seen.all():
        return colour
    height, width = seen.shape
    half = (-(-width // 2), -(-height // 2))
    share = cv2.resize(seen, half, interpolation=cv2.INTER_AREA)
    mean = _resized(colour * seen[..., None], half, cv2.INTER_AREA)
    mean /= np.maximum(share, np.finfo(np.float32).tiny)[..., None]
    smaller = _filled(mean, (share > 0).astype(np.float32))
    return np.where(
        seen[..., None] > 0, colour, _resized(smaller, (width, height), cv2.INTER_LINEAR)
    )


def _resized(
    colour: NDArray[np.float32], size: tuple[int, int], interpolation: int
) -> NDArray[np.float32]:
    import cv2

    resized = np.asarray(cv2.resize(colour, size, interpolation=interpolation), np.float32)
    return resized.reshape(size[1], size[0], -1)  # OpenCV drops a single channel


def keep_flat(sr: NDArray[np.float32], lq: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return enlarged opacity in which flat areas have exactly the value they had.

    The network may turn 255 into 254, which shows on a page of another colour. An area is flat
    where a pixel equals its eight neighbours.

    Args:
        sr: (H·s, W·s), 0…1.
        lq: (H, W), 0…1.
    """
    import cv2

    scale = sr.shape[0] // lq.shape[0]
    around = np.ones((3, 3), np.uint8)
    flat = cv2.erode(lq, around) == cv2.dilate(lq, around)
    flat, lq = (a.repeat(scale, 0).repeat(scale, 1) for a in (flat, lq))
    return np.where(flat, lq, sr)
