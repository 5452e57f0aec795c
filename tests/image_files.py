"""Image files of unusual kinds, written without the code under test."""

from __future__ import annotations

import functools
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: PNG's colour types by number of channels.
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def noise(*shape: int, seed: int = 0, dtype: type = np.uint8) -> NDArray:
    """Return random pixels over the whole range of `dtype`."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def smooth(height: int, width: int, channels: int = 3) -> NDArray[np.float64]:
    """Return a smooth image, 0…1, without symmetry."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(3 * x + c) * np.cos(2 * y - c) + x * y for c in range(channels)]
    image = np.stack(waves, -1)
    return (image - image.min()) / np.ptp(image)


@functools.cache  # it holds the time at which it was made
def srgb_profile() -> bytes:
    """Return an ICC profile for RGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey_profile() -> bytes:
    """Return the header of an ICC profile for grey; nothing here reads more."""
    return srgb_profile().replace(b"RGB ", b"GRAY", 1)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_sixteen_bits(pixels: NDArray[np.uint16], *chunks: bytes) -> bytes:
    """Return a PNG of (H, W, 1…4) 16-bit pixels with more chunks before the pixels."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    data = png_chunk(b"IDAT", zlib.compress(rows))
    first, end = png_chunk(b"IHDR", header), png_chunk(b"IEND", b"")
    return b"".join((PNG_SIGNATURE, first, *chunks, data, end))


def claiming_png(width: int, height: int) -> bytes:
    """Return a tiny PNG that claims a size: a decompression bomb."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    return PNG_SIGNATURE + header + data + png_chunk(b"IEND", b"")


def save(path: Path, pixels: NDArray[np.uint8], **options) -> Path:
    """Save (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) 8-bit pixels with Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def eight(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Return a smooth image of 8 bits, (H, W) or (H, W, C)."""
    return np.rint(smooth(height, width, channels) * 255).astype(np.uint8).squeeze()
