"""Channels that a network does not take: opacity beside colour, and chroma beside luma.

What lies under transparency must not show at its edges, and opaque must stay opaque. A network of
one channel gets luma as BasicSR's data sets with `color: y` have it: Y, Cb and Cr of ITU-R BT.601,
Y in 16…235 of 255; chroma is enlarged by bicubic.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image as PillowImage

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
    share = _resized(seen[..., None], half, PillowImage.Resampling.BOX)
    mean = _resized(colour * seen[..., None], half, PillowImage.Resampling.BOX)
    mean /= np.maximum(share, np.finfo(np.float32).tiny)
    smaller = _filled(mean, (share[..., 0] > 0).astype(np.float32))
    wider = _resized(smaller, (height, width), PillowImage.Resampling.BILINEAR)
    return np.where(seen[..., None] > 0, colour, wider)


def _resized(
    colour: NDArray[np.float32], size: tuple[int, int], resampling: PillowImage.Resampling
) -> NDArray[np.float32]:
    channels = [
        PillowImage.fromarray(channel).resize((size[1], size[0]), resampling)
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
