"""Reading 16 bits a value, of which Pillow keeps 8: OpenCV decodes them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image
from tifffile import TiffFile

from smsr_plugin.upscale.errors import ImageError
from smsr_plugin.upscale.metadata import ORIENTATION
from smsr_plugin.upscale.picture import Pixels

#: What the file holds, by the beginning of the decoder's mode, and what OpenCV makes of it.
GREY_LAYOUTS = ("I", "L", "LA")
COLOUR_LAYOUTS = ("RGB", "RGBA", "RGBX")
MIN_IS_WHITE = 0
PHOTOMETRIC = 262


def layout(image: Image.Image) -> str:
    """Return how Pillow's decoder names the layout of the pixels, such as `RGB;16B`.

    Only a file that was opened and not loaded yet knows it.
    """
    for tile in getattr(image, "tile", ()):
        arguments = tile[3]
        return str(arguments[0] if isinstance(arguments, tuple) else arguments)
    return image.mode


def has_sixteen_bits(image: Image.Image, layout: str) -> bool:
    """Tell whether a file of that layout holds values of 16 bits."""
    return image.format in ("PNG", "TIFF") and ";16" in layout


def read_sixteen_bits(
    image: Image.Image, layout: str, content: bytes
) -> tuple[Pixels, Pixels | None]:
    """Decode a file of 16-bit values.

    Args:
        image: The file as Pillow opened it.
        layout: Its layout.
        content: The file's bytes.

    Returns:
        Colour (H, W, 3) or (H, W, 1) and opacity (H, W) or None, uint16, not turned upright.

    Raises:
        ImageError: If the values are laid out in a way that is not supported.
    """
    channels = layout.partition(";")[0]
    if channels not in GREY_LAYOUTS + COLOUR_LAYOUTS or _is_negative(image):
        raise ImageError(f"16-bit pixels of this kind ({layout}) are not supported")
    if image.format == "TIFF":
        content = _without_orientation(content)
    pixels: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ImageError("its 16-bit pixels cannot be decoded")
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    colour = pixels[..., :1] if channels in GREY_LAYOUTS else pixels[..., 2::-1]
    alpha = pixels[..., 3] if pixels.shape[2] == 4 and channels != "RGBX" else None
    if alpha is None and "transparency" in image.info:
        transparent = (colour == np.uint16(image.info["transparency"])).all(-1)
        alpha = np.where(transparent, np.uint16(0), np.uint16(0xFFFF))
    return colour, alpha


def _is_negative(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return image.format == "TIFF" and tags.get(PHOTOMETRIC) == MIN_IS_WHITE


def _without_orientation(content: bytes) -> bytes:
    """Set a TIFF's orientation to upright: OpenCV obeys it, but fails where the sides swap."""
    with TiffFile(BytesIO(content)) as file:
        tag = file.pages.first.tags.get(ORIENTATION)
        if tag is None:
            return content
        one = (1).to_bytes(2, "little" if file.byteorder == "<" else "big")
        return content[: tag.valueoffset] + one + content[tag.valueoffset + 2 :]
