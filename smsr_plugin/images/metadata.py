"""EXIF data, orientation and the texts of PNGs: what is read, applied and handed on."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base

from smsr_plugin.images.picture import Chunk, ExifValues, Picture
from smsr_plugin.images.pixels import Pixels

ORIENTATION = Base.Orientation
UPRIGHT = 1
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
#: Descriptions by which programs lay out the file's pages and pixels: readers would look for those
#: in the result. The names are those of the programs.
LAYOUTS = {
    "ImageJ": re.compile(r"ImageJ="),
    "OME": re.compile(r".{,400}<OME[ >]", re.DOTALL),
    "tifffile": re.compile(r'\s*(\{"shape":|shape=\()'),
    "SCIFIO": re.compile(r"SCIFIO="),
    "Aperio": re.compile(r"Aperio "),
    "MetaMorph": re.compile(r".{,400}<MetaData>", re.DOTALL),
    "Leica": re.compile(r".{,400}<scn ", re.DOTALL),
}

DAMAGED_EXIF = "its EXIF data are damaged and were dropped"

#: How stored pixels are turned upright, by orientation.
TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
#: The chunks of a PNG that hold texts.
TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
#: Texts that are data of other kinds. XMP describes one file, which an enlarged image is not.
NO_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type ")
EXIF_TEXT = b"Raw profile type exif"
#: The most bytes that a text, and all texts, may unpack to. Pillow reads no longer text.
MAX_TEXT, MAX_TEXTS = 1 << 20, 16 << 20


def known_orientation(value: object) -> int:
    """Return an orientation that EXIF knows; for others upright, as viewers take them."""
    return value if isinstance(value, int) and value in TURNS else UPRIGHT


def exif_orientation(exif: Image.Exif | None) -> int:
    """Return the orientation that EXIF data say, upright if there are none."""
    return UPRIGHT if exif is None else known_orientation(exif.get(ORIENTATION))


def upright(stored: Picture, orientation: int) -> Picture:
    """Return a picture as an EXIF orientation, 1…8, says it is to be seen."""
    turn = TURNS.get(orientation)

    def turned(pixels: Pixels) -> Pixels:
        return pixels if turn is None else np.ascontiguousarray(turn(pixels))

    alpha = None if stored.alpha is None else turned(stored.alpha)
    notes = tuple(dict.fromkeys(stored.notes))
    picture = replace(stored, colour=turned(stored.colour), alpha=alpha, notes=notes)
    return picture.with_fitting_profile()


def parsed_exif(data: bytes | None) -> Image.Exif | None:
    """Return EXIF data, with or without `Exif` and two zero bytes before them, None if damaged."""
    exif = Image.Exif()
    try:
        exif.load(data or b"")
        exif.get(ORIENTATION)
    except Exception:  # Pillow raises many types on damaged data
        return None
    return exif


def kept_exif(source: Image.Exif | None) -> tuple[ExifValues, tuple[str, ...]]:
    """Return what describes the picture of a file's EXIF data, and notes on what was dropped.

    None stands for damaged ones, as from `parsed_exif`; they may also be damaged further in.
    Kept are the descriptive tags (author, camera, date, …) and the directories Exif and GPS.
    Orientation, resolution, thumbnail and the layout of the file are not.
    """
    notes: tuple[str, ...] = ()
    if source is None:
        return {}, (DAMAGED_EXIF,)
    try:
        kept: dict[int, Any] = {tag: source[tag] for tag in DESCRIPTIVE if tag in source}
        if program := described_layout(kept.get(Base.ImageDescription)):
            del kept[Base.ImageDescription]
            notes = (f"its description, the layout of a file for {program}, was dropped",)
        for directory in DIRECTORIES:
            entries = {k: v for k, v in source.get_ifd(directory).items() if k not in POSITIONS}
            if entries:
                kept[directory] = entries
        exif_bytes(kept, 1, 1)  # values that cannot be written again should be noticed now
    except Exception:  # as in parsed_exif
        return {}, (*notes, DAMAGED_EXIF)
    return kept, notes


def described_layout(description: object) -> str | None:
    """Return the program whose file's layout an ImageDescription describes, None for other text."""
    if not isinstance(description, str):
        return None
    return next((name for name, form in LAYOUTS.items() if form.match(description)), None)


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


def text_of(chunk: Chunk) -> tuple[bytes, bytes | None]:
    """Return keyword and text of a text chunk; no text if it is damaged or unpacks to too much."""
    key, _, rest = chunk.data.partition(b"\0")
    if chunk.kind == b"tEXt":
        return key, rest if len(rest) <= MAX_TEXT else None
    if chunk.kind == b"zTXt":
        return key, unpacked(rest[1:], MAX_TEXT)
    packed, text = rest[:1] != b"\0", rest[2:].split(b"\0", 2)[-1]
    return key, unpacked(text, MAX_TEXT) if packed else text if len(text) <= MAX_TEXT else None


def unpacked(data: bytes, limit: int) -> bytes | None:
    """Return what zlib packed, None if that is damaged or longer than a limit."""
    decoder = zlib.decompressobj()
    try:
        text = decoder.decompress(data, limit + 1)
    except zlib.error:
        return None
    return text if decoder.eof and len(text) <= limit else None


def kept_texts(chunks: Iterable[Chunk]) -> tuple[tuple[Chunk, ...], tuple[str, ...]]:
    """Return the texts that go on into results, as they are, and a note if some do not."""
    kept, total, dropped = [], 0, 0
    for chunk in chunks:
        key, text = text_of(chunk)
        if key.startswith(NO_TEXTS):
            continue
        total += len(text or b"")
        if text is None or total > MAX_TEXTS:
            dropped += 1
        else:
            kept.append(chunk)
    verbs = ("is", "was") if dropped == 1 else ("are", "were")
    note = "{} of its texts {} damaged or longer than 1 MiB and {} dropped".format(dropped, *verbs)
    return tuple(kept), (note,) if dropped else ()
