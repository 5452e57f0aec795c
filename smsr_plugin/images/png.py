"""PNG of 1 to 16 bits a value.

Only the chunks that make the pixels reach a decoder: Pillow would refuse an image for a long
profile or text, keep 8 of 16 bits, and take the transparent colour of a grey image of few bits for
another. `png16` decodes 16 bits a value.

A chunk is its length and kind, its data, and a checksum. A capital initial marks the kinds that an
image cannot do without.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.metadata import (
    EXIF_TEXT,
    TEXTS,
    exif_orientation,
    kept_exif,
    kept_texts,
    parsed_exif,
    text_of,
    unpacked,
)
from smsr_plugin.images.picture import FIRST_FRAME, GREY, PALETTE, RGB, Chunk, Header, Picture
from smsr_plugin.images.pixels import Pixels, spread
from smsr_plugin.images.png16 import unpack_pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
#: The bytes of a chunk before and behind its data.
BEFORE, BEHIND = 8, 4
#: The signature and the first chunk, behind which others may be put.
START = len(SIGNATURE) + BEFORE + 13 + BEHIND
KNOWN = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
#: The most bytes that a profile may unpack to.
MAX_PROFILE = 16 << 20

#: Colour types: what they mean, and the depths that they may have.
COLOURS = {
    0: (GREY, {1, 2, 4, 8, 16}),
    2: (RGB, {8, 16}),
    3: (PALETTE, {1, 2, 4, 8}),
    4: (GREY, {8, 16}),
    6: (RGB, {8, 16}),
}
WITH_ALPHA = {4, 6}
#: What says how the values are to be seen. It stays true of an enlarged image.
COLOUR_CHUNKS = (b"cICP", b"mDCV", b"cLLI", b"gAMA", b"cHRM", b"sRGB")
READ = {*COLOUR_CHUNKS, *TEXTS, b"IHDR", b"iCCP", b"eXIf", b"tRNS"}


class Entry(NamedTuple):
    """Where a chunk's data lie in a file."""

    kind: bytes
    start: int
    length: int


def entries(file: BinaryIO) -> Iterator[Entry]:
    """Yield the chunks from the first to IEND; their data are not read.

    Raises:
        ImageError: If the file ends before, or does not begin as a PNG does.
    """
    size = file.seek(0, 2)
    position, expected = len(SIGNATURE), b"IHDR"
    while position + BEFORE + BEHIND <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(BEFORE))
        if expected not in (kind, b""):
            raise ImageError("the PNG is damaged (it does not begin with IHDR)")
        start, expected = position + BEFORE, b""
        position = start + length + BEHIND
        if position > size:
            break
        yield Entry(kind, start, length)
        if kind == b"IEND":
            return
    raise ImageError("the PNG is cut short")


def is_whole(view: memoryview, entry: Entry) -> bool:
    """Tell whether the checksum of a chunk is right.

    Raises:
        ImageError: If it is not, or the kind is not known, of a chunk that the image needs.
    """
    end = entry.start + entry.length
    found = zlib.crc32(view[entry.start - 4 : end])
    whole = found == int.from_bytes(view[end : end + BEHIND], "big")
    if entry.kind[:1].isupper():
        name = entry.kind.decode("latin-1")
        if not whole:
            raise ImageError(f"the PNG is damaged (checksum of a {name!r} chunk)")
        if entry.kind not in KNOWN:
            raise ImageError(f"the PNG needs a chunk that is not known, {name!r}")
    return whole


def chunk_bytes(chunk: Chunk) -> bytes:
    """Return a chunk as it stands in a file."""
    body = chunk.kind + chunk.data
    return struct.pack(">I", len(chunk.data)) + body + struct.pack(">I", zlib.crc32(body))


def with_chunks(content: bytes, chunks: Iterable[Chunk]) -> bytes:
    """Return a PNG with chunks put in behind its first."""
    return content[:START] + b"".join(map(chunk_bytes, chunks)) + content[START:]


class Form(NamedTuple):
    """What the first chunk says."""

    width: int
    height: int
    depth: int
    colour_type: int
    compression: int
    filtering: int
    interlacing: int

    @property
    def colour(self) -> str:
        """GREY, RGB or PALETTE."""
        return COLOURS[self.colour_type][0]


def form_of(data: bytes) -> Form:
    """Read the data of IHDR."""
    if len(data) == 13:
        form = Form(*struct.unpack(">IIBBBBB", data))
        depths = COLOURS.get(form.colour_type, (GREY, set()))[1]
        methods = (form.compression, form.filtering, form.interlacing)
        is_known = methods in ((0, 0, 0), (0, 0, 1))
        if form.width and form.height and form.depth in depths and is_known:
            return form
    raise ImageError("the PNG is damaged (its first chunk makes no sense)")


def read_header(file: BinaryIO) -> Header:
    """Read what the chunks say, without the pixels."""
    found: dict[bytes, Chunk] = {}
    texts: list[Chunk] = []
    for kind, start, length in entries(file):
        file.seek(start)
        if kind in (b"IHDR", b"eXIf", b"tRNS"):
            found.setdefault(kind, Chunk(kind, file.read(length)))
        elif kind in TEXTS and file.read(len(EXIF_TEXT)) == EXIF_TEXT:
            file.seek(start)
            texts.append(Chunk(kind, file.read(length)))
    form = form_of(found[b"IHDR"].data)
    exif = _exif(found.get(b"eXIf"), texts)
    transparency = form.colour_type in WITH_ALPHA or b"tRNS" in found
    return Header("PNG", form[:2], form.colour, form.depth, transparency, exif_orientation(exif))


class Contents(NamedTuple):
    """The chunks of a file, sorted by use.

    Attributes:
        form: What the first one says.
        needed: Those that make the pixels, as they stand in the file.
        found: The data of others, by kind; all those of texts, the first of each other kind.
        texts: Those of texts.
        notes: On what was damaged or left out.
    """

    form: Form
    needed: list[tuple[bytes, memoryview]]
    found: dict[bytes, Chunk]
    texts: list[Chunk]
    notes: tuple[str, ...]


def decode(content: bytes) -> Picture:
    """Decode a whole file.

    Raises:
        ImageError: If it is cut short or damaged where the pixels are.
    """
    form, needed, found, texts, notes = _contents(content)
    transparent = found.get(b"tRNS")
    pixels = _decoded(form, needed, transparent)
    channels = 1 if form.colour == GREY else 3
    colour, alpha = pixels[..., :channels], None
    if pixels.shape[2] > channels:
        alpha = pixels[..., channels]
    elif transparent:
        alpha = _opacity(form, colour, transparent.data)
    profile = None
    if b"iCCP" in found:
        profile = unpacked(found[b"iCCP"].data.partition(b"\0")[2][1:], MAX_PROFILE)
        if profile is None:
            notes += ("its colour profile is damaged or too long and was dropped",)
    exif, without = kept_exif(_exif(found.get(b"eXIf"), texts))
    kept, dropped = kept_texts(texts)
    chunks = tuple(found[kind] for kind in COLOUR_CHUNKS if kind in found) + kept
    return Picture(colour, alpha, profile or None, exif, chunks, notes + dropped + without)


def _contents(content: bytes) -> Contents:
    """Walk through a file once, looking at all checksums."""
    view = memoryview(content)
    needed, found, texts = [], {}, []
    damaged, frames = [], 1
    for entry in entries(BytesIO(content)):
        kind, start, length = entry
        end = start + length
        whole = is_whole(view, entry)
        if kind in KNOWN:
            needed.append((kind, view[start - BEFORE : end + BEHIND]))
        if kind in READ and not whole:
            damaged.append(kind.decode())
        elif kind in TEXTS:
            texts.append(Chunk(kind, bytes(view[start:end])))
        elif kind in READ:
            found.setdefault(kind, Chunk(kind, bytes(view[start:end])))
        elif kind == b"acTL":
            frames = int.from_bytes(view[start : start + 4], "big")
    form = form_of(found[b"IHDR"].data)
    notes = ("palette, becomes RGB",) if form.colour == PALETTE else ()
    notes += (FIRST_FRAME,) if frames > 1 else ()
    if damaged:
        notes += (f"damaged and dropped: {', '.join(dict.fromkeys(damaged))}",)
    return Contents(form, needed, found, texts, notes)


def _decoded(
    form: Form, needed: list[tuple[bytes, memoryview]], transparent: Chunk | None
) -> Pixels:
    """Return (H, W, C) of the chunks that make the pixels."""
    if form.depth == 16:
        data = b"".join(part[BEFORE:-BEHIND] for kind, part in needed if kind == b"IDAT")
        channels = (1 if form.colour == GREY else 3) + (form.colour_type in WITH_ALPHA)
        return unpack_pixels(data, form.height, form.width, channels, bool(form.interlacing))
    stripped: list[bytes | memoryview] = [SIGNATURE]
    for kind, part in needed:
        stripped.append(part)
        if kind == b"PLTE" and transparent and form.colour == PALETTE:
            stripped.append(chunk_bytes(transparent))
    with Image.open(BytesIO(b"".join(stripped)), formats=("PNG",)) as image:
        mode = {GREY: "L", RGB: "RGB", PALETTE: "RGB"}[form.colour]
        if form.colour_type in WITH_ALPHA or image.has_transparency_data:
            mode += "A"
        pixels = np.array(image.convert(mode))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _opacity(form: Form, colour: Pixels, transparent: bytes) -> Pixels:
    """Return opacity that is 0 where pixels have the colour that tRNS says, else full."""
    channels = colour.shape[2]
    if len(transparent) != 2 * channels:
        raise ImageError("the PNG is damaged (its transparent colour makes no sense)")
    values = np.frombuffer(transparent, ">u2").astype(np.uint16) & np.uint16(2**form.depth - 1)
    hidden = (colour == spread(values, 2**form.depth - 1)).all(-1)
    return np.where(hidden, 0, np.iinfo(colour.dtype).max).astype(colour.dtype)


def _exif(chunk: Chunk | None, texts: Iterable[Chunk]) -> Image.Exif | None:
    """Return the EXIF data of a chunk or, as ImageMagick does it, a text; None if damaged."""
    if chunk is not None:
        return parsed_exif(chunk.data)
    for text in texts:
        key, profile = text_of(text)
        if key == EXIF_TEXT:
            lines = (profile or b"").split(b"\n")[3:]  # behind its name and length
            try:
                return parsed_exif(bytes.fromhex(b"".join(lines).decode("latin-1")))
            except ValueError:
                return None
    return Image.Exif()
