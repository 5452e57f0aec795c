"""Transparency: what lies under it must not show at its edges, and opaque must stay opaque."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image


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
    if seen.all():
        return colour
    height, width = seen.shape
    half = (-(-height // 2), -(-width // 2))
    share = _resized(seen[..., None], half, Image.Resampling.BOX)
    mean = _resized(colour * seen[..., None], half, Image.Resampling.BOX)
    mean /= np.maximum(share, np.finfo(np.float32).tiny)
    smaller = _filled(mean, (share[..., 0] > 0).astype(np.float32))
    wider = _resized(smaller, (height, width), Image.Resampling.BILINEAR)
    return np.where(seen[..., None] > 0, colour, wider)


def _resized(
    colour: NDArray[np.float32], size: tuple[int, int], resampling: Image.Resampling
) -> NDArray[np.float32]:
    channels = [
        Image.fromarray(channel).resize((size[1], size[0]), resampling)
        for channel in np.moveaxis(colour, -1, 0)
    ]
    return np.stack([np.asarray(channel) for channel in channels], -1)


def keep_flat(sr: NDArray[np.float32], lq: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return enlarged opacity in which flat areas have exactly the value they had.

    The network may turn 255 into 254, which shows on a page of another colour. An area is flat
    where a pixel equals its eight neighbours.

    Args:
        sr: (H·s, W·s), 0…1.
        lq: (H, W), 0…1.
    """
    scale = sr.shape[0] // lq.shape[0]
    around = sliding_window_view(np.pad(lq, 1, mode="edge"), (3, 3))
    flat = around.min((-2, -1)) == around.max((-2, -1))
    flat, lq = (a.repeat(scale, 0).repeat(scale, 1) for a in (flat, lq))
    return np.where(flat, lq, sr)
