"""Pictures to image files, and what they lose for what a format can hold."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from smsr_plugin.images.errors import ImageError, guarded
from smsr_plugin.images.metadata import TEXTS, exif_bytes, text_bytes
from smsr_plugin.images.picture import Chunk, Picture
from smsr_plugin.images.pixels import Pixels, eight_bits, over_white
from smsr_plugin.images.png import END, SIGNATURE, chunk_bytes, with_chunks
from smsr_plugin.images.png16 import pack_pixels
from smsr_plugin.staging import staged_file

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
QUALITY = 95
#: A few per cent larger than with zlib's default, in about half the time.
PNG_COMPRESS_LEVEL = 4
#: A TIFF's pixels may have to be addressed by more than 32 bits beyond this many bytes.
BIG_TIFF = 2**31
#: Of a PNG, by the number of channels: grey, grey and alpha, RGB, RGBA.
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


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


def write_picture(picture: Picture, path: Path, quality: int = QUALITY) -> Picture:
    """Write a picture so that `path` holds the old bytes or all the new ones, never a mix.

    PNG and TIFF hold everything. JPEG has neither transparency, which is blended with white, nor
    16 bits; WebP has neither 16 bits nor grey. TIFF keeps the descriptive EXIF tags only.

    Args:
        picture: The picture.
        path: The suffix names the format: one of `FORMATS`.
        quality: Of JPEG and WebP, 1…100.

    Returns:
        What was written, with notes on what the format cannot hold.

    Raises:
        ImageError: If the format cannot hold the size, the memory does not suffice, or the file
            cannot be written.
    """
    check_size(path, *picture.size)
    kind = FORMATS[path.suffix.lower()]
    picture = fit(picture, kind)
    with guarded("cannot be encoded"):
        content = _ENCODERS[kind](picture, quality)
    try:
        with staged_file(path) as file:
            file.write_bytes(content)
    except OSError as error:
        raise ImageError(f"cannot be written to {path}: {error.strerror or error}") from error
    return picture


def _pixels(picture: Picture) -> Pixels:
    """Return colour and alpha as one array, (H, W) if there is a single channel."""
    if picture.alpha is None:
        return picture.colour[..., 0] if picture.is_grey else picture.colour
    return np.dstack((picture.colour, picture.alpha))


def _metadata(picture: Picture) -> dict[str, bytes]:
    """Return Pillow's arguments for what is kept of profile and EXIF."""
    kept = {"icc_profile": picture.icc_profile} if picture.icc_profile else {}
    return kept | ({"exif": exif_bytes(picture.exif, *picture.size)} if picture.exif else {})


def _png(picture: Picture, quality: int) -> bytes:
    """Return a PNG whose profile, EXIF data, colour chunks and texts stand before the pixels."""
    metadata = _metadata(picture)
    chunks = list(picture.chunks)
    if "exif" in metadata:
        chunks.insert(0, Chunk(b"eXIf", metadata["exif"].removeprefix(b"Exif\0\0")))
    if "icc_profile" in metadata:
        packed = zlib.compress(metadata["icc_profile"])
        chunks.insert(0, Chunk(b"iCCP", b"ICC Profile\0\0" + packed))
    return with_chunks(_png_pixels(picture), chunks)


def _png_pixels(picture: Picture) -> bytes:
    pixels = _pixels(picture)
    if picture.dtype == np.uint8:
        stream = BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=PNG_COMPRESS_LEVEL)
        return stream.getvalue()
    height, width = pixels.shape[:2]
    colour_type = COLOUR_TYPES[1 if pixels.ndim == 2 else pixels.shape[2]]
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    data = pack_pixels(pixels.reshape(height, width, -1).astype(np.uint16), PNG_COMPRESS_LEVEL)
    return SIGNATURE + chunk_bytes(Chunk(b"IHDR", head)) + chunk_bytes(Chunk(b"IDAT", data)) + END


def _jpeg(picture: Picture, quality: int) -> bytes:
    stream = BytesIO()
    # Halving the resolution of colour would undo part of the work.
    Image.fromarray(_pixels(picture)).save(
        stream, "JPEG", quality=quality, subsampling="4:4:4", **_metadata(picture)
    )
    return stream.getvalue()


def _webp(picture: Picture, quality: int) -> bytes:
    stream = BytesIO()
    Image.fromarray(_pixels(picture)).save(stream, "WEBP", quality=quality, **_metadata(picture))
    return stream.getvalue()


def _tiff(picture: Picture, quality: int) -> bytes:
    import tifffile  # slow to import, and needed here only

    stream, pixels = BytesIO(), _pixels(picture)
    tags = {tag: text_bytes(str(value)) for tag, value in picture.exif.items()}
    software = tags.pop(Base.Software, b"")
    tifffile.imwrite(
        stream,
        pixels,
        bigtiff=pixels.nbytes > BIG_TIFF,
        photometric="minisblack" if picture.is_grey else "rgb",
        planarconfig="contig",
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        compression="zlib",
        predictor=2,
        metadata=None,
        software=software,
        iccprofile=picture.icc_profile,
        extratags=[(tag, "s", 0, text, True) for tag, text in tags.items()],
    )
    return stream.getvalue()


_ENCODERS = {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "TIFF": _tiff}
