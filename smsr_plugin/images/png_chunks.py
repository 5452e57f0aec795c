"""The chunks of a PNG file: walking, checking, unpacking, putting in.

A chunk is its length and kind, its data, and a checksum. A capital initial marks the kinds that an
image cannot do without.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.picture import Chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
#: The bytes of a chunk before and behind its data.
BEFORE, BEHIND = 8, 4
#: The signature and the first chunk, behind which others may be put.
START = len(SIGNATURE) + BEFORE + 13 + BEHIND
KNOWN = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}

TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
#: Texts that are data of other kinds. XMP describes one file, which an enlarged image is not.
NO_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type ")
EXIF_TEXT = b"Raw profile type exif"
#: The most bytes that a profile, a text, and all texts may unpack to. Pillow reads no longer text.
MAX_PROFILE, MAX_TEXT, MAX_TEXTS = 16 << 20, 1 << 20, 16 << 20


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


def shape_of(head: bytes | memoryview, tail: bytes | memoryview) -> tuple[int, int, int] | None:
    """Return (H, W, C) of a whole PNG of 8-bit grey or RGB, or None if it is cut or another file.

    Args:
        head: The first 26 bytes or more.
        tail: The last 12 bytes or more.
    """
    if len(head) < 26 or head[:8] != SIGNATURE or tail[-len(END) :] != END:
        return None
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
    channels = {0: 1, 2: 3}.get(colour)
    return (height, width, channels) if depth == 8 and channels else None
