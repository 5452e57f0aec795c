"""What a file's own tags say of its image, before a pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass

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
