"""Pillow's images as pictures, and back."""

from __future__ import annotations

import numpy as np
from PIL import Image

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.metadata import (
    exif_bytes,
    exif_orientation,
    kept_exif,
    parsed_exif,
    upright,
)
from smsr_plugin.images.others import stored_picture
from smsr_plugin.images.picture import Picture

#: Modes of 16-bit grey.
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")


def from_pillow(image: Image.Image) -> Picture:
    """Return an image as a picture, turned upright as its EXIF data say.

    A palette becomes RGB, as does CMYK, through its colour profile.

    Raises:
        ImageError: If its mode is none of grey, RGB, palette or CMYK with 8 bits, or grey with 16.
    """
    image.load()
    exif = parsed_exif(image.info.get("exif") or image.getexif().tobytes())
    if image.mode in DEEP:
        deep = np.asarray(image).astype(np.uint16)[..., None]
        tags, notes = kept_exif(exif)
        stored = Picture(deep, None, image.info.get("icc_profile") or None, tags, notes=notes)
    else:
        stored = stored_picture(image, exif)
    return upright(stored, exif_orientation(exif))


def to_pillow(picture: Picture) -> Image.Image:
    """Return a picture as an image of mode L, LA, RGB, RGBA or I;16, with profile and EXIF data.

    Raises:
        ImageError: If it has 16 bits and is not plain grey, which Pillow has no mode for.
    """
    pixels = picture.colour
    if picture.alpha is not None:
        pixels = np.dstack((pixels, picture.alpha))
    if picture.dtype == np.uint16 and pixels.shape[2] > 1:
        raise ImageError("Pillow has no mode for 16-bit RGB or opacity: take an array")
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if picture.icc_profile:
        image.info["icc_profile"] = picture.icc_profile
    if picture.exif:
        image.info["exif"] = exif_bytes(picture.exif, *picture.size)
    return image
