"""What the file formats can hold, and what a picture loses for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smsr_plugin.upscale.errors import ImageError
from smsr_plugin.upscale.metadata import exif_bytes
from smsr_plugin.upscale.picture import Picture, Pixels

#: Formats by suffix.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
#: The longest side that a format can hold.
MAX_SIDE = {"PNG": 2**31 - 1, "JPEG": 65500, "WEBP": 16383, "TIFF": 2**31 - 1}
#: The most bytes that a JPEG's marker holds.
JPEG_MARKER = 65533


def check_size(path: Path, width: int, height: int) -> None:
    """Raise ImageError if the format that `path` names cannot hold a picture of that size."""
    largest = MAX_SIDE[FORMATS[path.suffix.lower()]]
    if max(width, height) > largest:
        raise ImageError(
            f"the result would be {width}×{height}, and {path.suffix} holds sides up to {largest}"
        )


def fit(picture: Picture, kind: str) -> Picture:
    """Return a picture that a format can hold, with notes on what was lost for it."""
    if picture.dtype == np.uint16 and kind in ("JPEG", "WEBP"):
        alpha = None if picture.alpha is None else _eight_bits(picture.alpha)
        note = f"16 bits became 8, all that {kind} has"
        picture = picture.changed(note, colour=_eight_bits(picture.colour), alpha=alpha)
    if picture.alpha is not None and kind == "JPEG":
        colour = _over_white(picture.colour, picture.alpha)
        picture = picture.changed(
            "blended with white, as JPEG is opaque", colour=colour, alpha=None
        )
    # OpenCV writes no PNG with 16-bit grey and alpha.
    two = picture.alpha is not None and picture.dtype == np.uint16 and kind == "PNG"
    if picture.is_grey and (kind == "WEBP" or two):
        colour = np.repeat(picture.colour, 3, 2)
        picture = picture.changed(f"grey is written as RGB in this {kind}", colour=colour)
    if kind == "TIFF" and any(isinstance(value, dict) for value in picture.exif.values()):
        texts = {k: v for k, v in picture.exif.items() if not isinstance(v, dict)}
        picture = picture.changed("of EXIF, TIFF keeps the description only", exif=texts)
    if kind == "JPEG" and len(exif_bytes(picture.exif, *picture.size)) > JPEG_MARKER:
        picture = picture.changed("its EXIF data are too long for JPEG and were dropped", exif={})
    return picture.with_fitting_profile()


def _eight_bits(pixels: Pixels) -> Pixels:
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _over_white(colour: Pixels, alpha: Pixels) -> Pixels:
    opacity = alpha[..., None].astype(np.uint32)
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
