"""What a file says of its image before a pixel is decoded, and the image in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from smsr_plugin.images.pixels import Pixels

#: The first bytes of the kinds of files.
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WEBP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    **{b"P%d" % number: "PPM" for number in range(1, 7)},
    b"Pf": "PPM",
    b"PF": "PPM",
}
LONGEST = max(map(len, SIGNATURES))

#: Orientations that swap width and height.
SWAPPING = range(5, 9)
#: What a header calls its colours.
GREY, RGB, PALETTE, CMYK = "grey", "RGB", "palette", "CMYK"
#: EXIF values by tag; those of the directories Exif and GPS are mappings of this kind themselves.
ExifValues = Mapping[int, Any]
#: Bytes 16 to 20 of an ICC profile say what it describes.
PROFILE_SPACE = slice(16, 20)
PROFILE_SPACES = {1: b"GRAY", 3: b"RGB "}
#: A note.
FIRST_FRAME = "only the first of several frames or pages"


@dataclass(frozen=True)
class Header:
    """What a file says of its image.

    Attributes:
        kind: One of `errors.KINDS`.
        stored_size: Width and height in pixels, before the image is turned upright.
        colour: GREY, RGB, PALETTE or CMYK.
        bits: Of a value, as stored.
        transparency: Whether there is opacity, or a colour that stands for it.
        orientation: EXIF's, 1…8; 1 is upright.
    """

    kind: str
    stored_size: tuple[int, int]
    colour: str
    bits: int = 8
    transparency: bool = False
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright: as the image is seen."""
        width, height = self.stored_size
        return (height, width) if self.orientation in SWAPPING else (width, height)

    @property
    def width(self) -> int:
        """That of `size`."""
        return self.size[0]

    @property
    def height(self) -> int:
        """That of `size`."""
        return self.size[1]


def kind_of(start: bytes) -> str | None:
    """Return the kind of a file by its first `LONGEST` bytes or more, None for no image."""
    for signature, kind in SIGNATURES.items():
        if start.startswith(signature):
            return kind
    return None


@dataclass(frozen=True)
class Chunk:
    """A part of a PNG file: its kind, such as `gAMA`, and its content."""

    kind: bytes
    data: bytes


@dataclass(frozen=True)
class Picture:
    """An image: as decoders return it as its file stores it, to all others upright.

    Attributes:
        colour: (H, W, 3) RGB or (H, W, 1) grey, the whole range of uint8 or uint16.
        alpha: (H, W) opacity in the dtype of `colour`, not multiplied into it; None if opaque.
        icc_profile: The colour profile's bytes, as they were in the file.
        exif: What the camera wrote; its orientation is applied to the pixels and not kept.
        chunks: Of a PNG, what it says of its colours, and its texts; as they were in the file.
        notes: What was changed or left out on the way, each in a few words.
    """

    colour: Pixels
    alpha: Pixels | None = None
    icc_profile: bytes | None = None
    exif: ExifValues = field(default_factory=dict)
    chunks: tuple[Chunk, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.colour.shape[1], self.colour.shape[0]

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel of colour."""
        return self.colour.shape[2] == 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or uint16."""
        return self.colour.dtype

    def changed(self, note: str, **fields: Any) -> Picture:
        """Return a copy with other values for some fields, and a note that says so."""
        return replace(self, **fields, notes=(*self.notes, note))

    def with_fitting_profile(self) -> Picture:
        """Drop a colour profile that is for other channels than the picture has."""
        profile = self.icc_profile
        if profile is None or profile[PROFILE_SPACE] == PROFILE_SPACES[self.colour.shape[2]]:
            return self
        return self.changed("its colour profile does not fit and was dropped", icc_profile=None)
