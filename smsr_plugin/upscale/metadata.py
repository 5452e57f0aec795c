"""EXIF data and orientation: what is read, applied and handed on."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base

from smsr_plugin.upscale.picture import ExifValues, Pixels

ORIENTATION = Base.Orientation
#: Tags of the first directory that describe the picture. The others describe how one file is laid
#: out, or what is no longer true of an enlarged image.
DESCRIPTIVE = (
    Base.ImageDescription,
    Base.Make,
    Base.Model,
    Base.Software,
    Base.DateTime,
    Base.Artist,
    Base.Copyright,
)
DIRECTORIES = (IFD.Exif, IFD.GPSInfo)
#: Entries that say where in the old file another directory began.
POSITIONS = (*DIRECTORIES, IFD.Interop)
#: EXIF's own record of the size, in the Exif directory.
SIZE = (Base.ExifImageWidth, Base.ExifImageHeight)

#: How stored pixels are turned upright, by orientation.
UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def turned_upright(pixels: Pixels, orientation: object) -> Pixels:
    """Return pixels (H, W, …) as an EXIF orientation says they are to be seen.

    Values that EXIF does not know leave them as they are, as viewers do.
    """
    turn = UPRIGHT.get(cast(Any, orientation))
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def kept_exif(source: Image.Exif) -> ExifValues:
    """Return what describes the picture of a file's EXIF data.

    Kept are the descriptive tags (author, camera, date, …) and the directories Exif and GPS.
    Orientation, resolution, thumbnail and the layout of the file are not.

    Raises:
        Exception: Of any type, as Pillow does, if the data are damaged.
    """
    kept: dict[int, Any] = {tag: source[tag] for tag in DESCRIPTIVE if tag in source}
    for directory in DIRECTORIES:
        entries = {k: v for k, v in source.get_ifd(directory).items() if k not in POSITIONS}
        if entries:
            kept[directory] = entries
    exif_bytes(kept, 1, 1)  # values that cannot be written again should be noticed now
    return kept


def exif_bytes(tags: ExifValues, width: int, height: int) -> bytes:
    """Return tags as EXIF data, beginning with `Exif` and two zero bytes.

    The size that they record becomes the one given, that of the picture they will be written with.
    """
    exif = Image.Exif()
    exif.update(_writable(tags))
    if IFD.Exif in exif:
        sizes = zip(SIZE, (width, height), strict=True)
        exif[IFD.Exif] |= {tag: side for tag, side in sizes if tag in tags[IFD.Exif]}
    return exif.tobytes()


def text_bytes(text: str) -> bytes:
    """Return the bytes that Pillow, which takes any for Latin-1, read a text from."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _writable(tags: ExifValues) -> dict[int, Any]:
    """Return tags with bytes for texts beyond ASCII, of which Pillow would write question marks."""
    written: dict[int, Any] = {}
    for tag, value in tags.items():
        if isinstance(value, dict):
            value = _writable(value)
        elif isinstance(value, str) and not value.isascii():
            value = text_bytes(value)
        written[tag] = value
    return written
