"""Pillow: its images as pictures and back, and the files that it decodes rightly.

BMP, GIF, JPEG and WEBP, and the PPM and TIFF of 8 bits.
"""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms

from smsr_plugin.images.errors import KINDS, ImageError
from smsr_plugin.images.metadata import (
    exif_bytes,
    exif_orientation,
    kept_exif,
    parsed_exif,
    upright,
)
from smsr_plugin.images.picture import CMYK, FIRST_FRAME, GREY, PALETTE, RGB, Header, Picture
from smsr_plugin.images.pixels import Pixels

#: What Pillow's modes are called; others are refused.
COLOURS = {
    "1": GREY,
    "L": GREY,
    "LA": GREY,
    "La": GREY,
    "P": PALETTE,
    "PA": PALETTE,
    "RGB": RGB,
    "RGBA": RGB,
    "RGBX": RGB,
    "RGBa": RGB,
    "YCbCr": RGB,
    "CMYK": CMYK,
}
FROM_CMYK = "CMYK, converted to sRGB"
#: What a JPEG with a gain map holds somewhere: the map makes an SDR picture an HDR one.
GAIN_MAPS = (b"hdrgm:Version", b"urn:iso:std:iso:ts:21496:-1", b":aux:hdrgainmap")
#: Modes of 16-bit grey.
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")


def read_header(file: BinaryIO) -> Header:
    """Read size and kind without decoding."""
    file.seek(0)
    with Image.open(file, formats=KINDS) as image:
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        orientation = exif_orientation(parsed_exif(image.info.get("exif")))
        return Header(
            kind,
            image.size,
            colour_of(image),
            transparency=image.has_transparency_data,
            orientation=orientation,
        )


def decode(content: bytes) -> Picture:
    """Decode a whole file, the first frame of several."""
    with Image.open(BytesIO(content), formats=KINDS) as image:
        stored = stored_picture(image, parsed_exif(image.info.get("exif")))
        if image.format in ("JPEG", "MPO") and any(mark in content for mark in GAIN_MAPS):
            return stored.changed("its gain map, which makes it HDR, was left out")
        if image.format != "MPO" and getattr(image, "is_animated", False):
            return stored.changed(FIRST_FRAME)
    return stored


def stored_picture(image: Image.Image, exif: Image.Exif | None) -> Picture:
    """Return an image of 8 bits and its EXIF data, None for damaged ones, as it is stored.

    Raises:
        ImageError: If its mode is none of grey, RGB, palette or CMYK with 8 bits.
    """
    colour = colour_of(image)
    image.load()
    profile, notes, (tags, dropped) = image.info.get("icc_profile"), (), kept_exif(exif)
    if colour == CMYK:
        image, profile, notes = without_cmyk(image, profile), None, (FROM_CMYK,)
    elif colour == PALETTE:
        notes = ("palette, becomes RGB",)
    pixels, alpha = pixels_of(image, colour)
    return Picture(pixels, alpha, profile or None, tags, notes=notes + dropped)


def colour_of(image: Image.Image) -> str:
    """Return GREY, RGB, PALETTE or CMYK, or raise ImageError."""
    if image.mode in COLOURS:
        return COLOURS[image.mode]
    raise ImageError(f"expected grey, RGB or palette of 8 or 16 bits, got mode {image.mode!r}")


def pixels_of(image: Image.Image, colour: str) -> tuple[Pixels, Pixels | None]:
    """Return colour (H, W, C) and opacity (H, W), or None, of an image of 8 bits."""
    mode = "L" if colour == GREY else "RGB"
    if not image.has_transparency_data:
        pixels = np.array(image.convert(mode))
        return pixels.reshape(*pixels.shape[:2], -1), None
    both = np.array(image.convert(f"{mode}A"))
    return both[..., :-1], both[..., -1]


def without_cmyk(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a CMYK image in sRGB: through its profile, without one by Pillow's formula."""
    if profile:
        try:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, BytesIO(profile), srgb, outputMode="RGB")
            if converted is not None:
                return converted
        except ImageCms.PyCMSError:
            pass
    return image.convert("RGB")


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
