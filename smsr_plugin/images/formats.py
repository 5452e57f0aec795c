"""What the file formats can hold, and what a picture loses for them."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.metadata import exif_bytes
from smsr_plugin.images.picture import Chunk, Picture
from smsr_plugin.images.pixels import eight_bits, over_white
from smsr_plugin.images.png_chunks import TEXTS

#: Formats by suffix.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
#: The longest side that a format can hold.
MAX_SIDE = {"PNG": 2**31 - 1, "JPEG": 65500, "WEBP": 16383, "TIFF": 2**31 - 1}
#: What a PNG's gAMA and cHRM hold for sRGB, in units of 10⁻⁵.
SRGB = {
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
}
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
        alpha = None if picture.alpha is None else eight_bits(picture.alpha)
        note = f"16 bits became 8, all that {kind} has"
        picture = picture.changed(note, colour=eight_bits(picture.colour), alpha=alpha)
    if picture.alpha is not None and kind == "JPEG":
        colour = over_white(picture.colour, picture.alpha)
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
    if kind != "PNG" and picture.chunks:
        lost = _lost(picture.chunks)
        picture = replace(picture, chunks=())
        if lost:
            picture = picture.changed(f"{kind} cannot hold its {' and '.join(lost)}")
    return picture.with_fitting_profile()


def _lost(chunks: tuple[Chunk, ...]) -> list[str]:
    """Name what is lost with the chunks of a PNG; colours that are sRGB's need no chunk."""
    texts = [chunk for chunk in chunks if chunk.kind in TEXTS]
    colours = {chunk.kind: chunk.data for chunk in chunks if chunk.kind not in TEXTS}
    if b"sRGB" in colours:
        colours = {kind: data for kind, data in colours.items() if kind not in (b"sRGB", *SRGB)}
    names = [kind.decode() for kind, data in colours.items() if SRGB.get(kind) != data]
    lost = [f"colour chunks ({', '.join(names)})"] if names else []
    return lost + ([f"{len(texts)} texts" if len(texts) > 1 else "text"] if texts else [])
