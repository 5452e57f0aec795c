"""PBM, PGM and PPM with more than 8 bits a value, of which Pillow keeps fewer or makes 32."""

from __future__ import annotations

import re
from typing import BinaryIO, NamedTuple

import numpy as np

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.picture import GREY, RGB, Header, Picture
from smsr_plugin.images.pixels import spread

#: Which have values beyond one bit: plain text, then bytes.
PLAIN, BINARY = {b"P2": 1, b"P3": 3}, {b"P5": 1, b"P6": 3}
BITS = {b"P1", b"P4"}
FLOATS = {b"Pf", b"PF"}
#: Comments may be anywhere before the values; a longer beginning is not looked at.
LONGEST = 1 << 16
_SKIPPED = rb"(?:\s|#[^\r\n]*[\r\n])+"
_NUMBER = rb"(\d{1,10})"
_START = re.compile(rb"(P[1-6])" + _SKIPPED + _NUMBER + _SKIPPED + _NUMBER)
_LARGEST = re.compile(_SKIPPED + _NUMBER + rb"\s")
#: The largest value that a file may have.
MOST = 65535


class Start(NamedTuple):
    """What stands before the values."""

    kind: bytes
    width: int
    height: int
    largest: int
    length: int

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return (PLAIN | BINARY).get(self.kind, 1)


def start_of(content: bytes) -> Start:
    """Read what stands before the values.

    Raises:
        ImageError: If it makes no sense, or the values are floating-point numbers.
    """
    if content[:2] in FLOATS:
        raise ImageError("floating-point values are not supported")
    match = _START.match(content[:LONGEST])
    if match is None:
        raise ImageError("the PPM is damaged (its beginning makes no sense)")
    width, height, largest, length = int(match[2]), int(match[3]), 1, match.end()
    if match[1] not in BITS:
        found = _LARGEST.match(content[:LONGEST], length)
        if found is None or not 0 < int(found[1]) <= MOST:
            raise ImageError(f"the PPM is damaged (its largest value is not in 1…{MOST})")
        largest, length = int(found[1]), found.end()
    if not width or not height:
        raise ImageError("the PPM is damaged (it has no pixels)")
    return Start(match[1], width, height, largest, length)


def read_header(file: BinaryIO) -> Header:
    """Read size and kind."""
    file.seek(0)
    start = start_of(file.read(LONGEST))
    colour = GREY if start.channels == 1 else RGB
    return Header("PPM", (start.width, start.height), colour, start.largest.bit_length())


def decode(content: bytes) -> Picture:
    """Decode a file of more than 8 bits a value; they are spread over the whole range of 16.

    Raises:
        ImageError: If values are missing, or larger than the file says.
    """
    start = start_of(content)
    count = start.height * start.width * start.channels
    if start.kind in BINARY:
        if len(content) < start.length + 2 * count:
            raise ImageError("the PPM is cut short")
        values = np.frombuffer(content, ">u2", count, start.length).astype(np.uint16)
    else:
        texts = content[start.length :].split(maxsplit=count)[:count]
        if len(texts) < count:
            raise ImageError("the PPM is cut short")
        values = np.array(texts, np.int64).clip(0, MOST).astype(np.uint16)
    if values.max() > start.largest:
        raise ImageError("the PPM is damaged (a value is larger than its largest)")
    pixels = values.reshape(start.height, start.width, start.channels)
    return Picture(spread(pixels, start.largest))
