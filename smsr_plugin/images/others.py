"""BMP, GIF, JPEG and WebP, and the PPM and TIFF of 8 bits that Pillow decodes rightly."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms

from smsr_plugin.images import header
from smsr_plugin.images.errors import KINDS, ImageError
from smsr_plugin.images.header import Header
from smsr_plugin.images.metadata import exif_orientation, kept_exif, parsed_exif
from smsr_plugin.images.picture import FIRST_FRAME, Picture
from smsr_plugin.images.pixels import Pixels

#: What Pillow's modes are called; others are refused.
COLOURS = {
    "1": header.GREY,
    "L": header.GREY,
    "LA": header.GREY,
    "La": header.GREY,
    "P": header.PALETTE,
    "PA": header.PALETTE,
    "RGB": header.RGB,
    "RGBA": header.RGB,
    "RGBX": header.RGB,
    "RGBa": header.RGB,
    "YCbCr": header.RGB,
    "CMYK": header.CMYK,
}
FROM_CMYK = "CMYK, converted to sRGB"
#: What a JPEG with a gain map holds somewhere: the map makes an SDR picture an HDR one.
GAIN_MAPS = (b"hdrgm:Version", b"urn:iso:std:iso:ts:21496:-1", b":aux:hdrgainmap")


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
    if colour == header.CMYK:
        image, profile, notes = without_cmyk(image, profile), None, (FROM_CMYK,)
    elif colour == header.PALETTE:
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
    mode = "L" if colour == header.GREY else "RGB"
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
