"""Images as they are embedded in the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smsr_plugin.images.pixels import Luma
from smsr_plugin.images.viridis import viridis

#: What is compared must not be changed by the encoder; WebP without loss is a third smaller than
#: PNG, and every current browser shows it. Overlays and maps may lose a little.
LOSSLESS = {"lossless": True, "quality": 80, "method": 4}
LOSSY = {"quality": 85, "method": 4}
#: Of drawings there are many.
FEW_BYTES = {"quality": 60, "method": 4}
#: The largest side of a WebP image; larger ones become PNG.
MAX_SIDE = 16383
#: The share of a map's values that its colours tell apart; the rest have the last colour.
SHOWN = 0.995
THUMBNAIL = (144, 96)


@dataclass(frozen=True)
class Embedded:
    """An image as the page holds it.

    Attributes:
        uri: Its data URI.
        width, height: In pixels.
        alt: What it shows, in words.
        top: The value of the last colour of a map, in grey levels.
    """

    uri: str
    width: int
    height: int
    alt: str
    top: float | None = None


def exact(image: NDArray[np.uint8], alt: str) -> Embedded:
    """Embed an image (H, W, 3) RGB without loss."""
    return _embedded(Image.fromarray(image), alt, LOSSLESS)


def overlay(image: NDArray[np.uint8], alt: str) -> Embedded:
    """Embed an image (H, W, 3) RGB in few bytes."""
    return _embedded(Image.fromarray(image), alt, LOSSY)


def drawing(image: Image.Image, alt: str) -> Embedded:
    """Embed an RGB image of Pillow in very few bytes."""
    return _embedded(image, alt, FEW_BYTES)


def thumbnail(image: NDArray[np.uint8], alt: str) -> Embedded:
    """Embed a small version of an image (H, W, 3) RGB."""
    small = Image.fromarray(image)
    small.thumbnail(THUMBNAIL)
    return _embedded(small, alt, LOSSY)


def grey(y: Luma, alt: str) -> Embedded:
    """Embed a luminance (H, W), in 0…255."""
    return _embedded(Image.fromarray(np.rint(y).clip(0, 255).astype(np.uint8)), alt, LOSSY)


def heat_map(values: Luma, alt: str) -> Embedded:
    """Embed non-negative values (H, W) in viridis, the colours of the masks."""
    top = float(np.quantile(values, SHOWN)) or float(values.max()) or 1.0
    shares = np.rint(np.minimum(values / top, 1) * 255).astype(np.uint8)
    return replace(overlay(viridis(shares), alt), top=top)


def _embedded(image: Image.Image, alt: str, options: dict[str, int | bool]) -> Embedded:
    stream, kind = BytesIO(), "webp" if max(image.size) <= MAX_SIDE else "png"
    image.save(stream, kind, **(options if kind == "webp" else {}))
    content = base64.b64encode(stream.getvalue()).decode("ascii")
    return Embedded(f"data:image/{kind};base64,{content}", image.width, image.height, alt)
