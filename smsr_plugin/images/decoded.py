"""What a decoder makes of a file: pixels as they are stored, and what lies beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from smsr_plugin.images.metadata import kept_exif, turned_upright
from smsr_plugin.images.picture import Chunk, Picture
from smsr_plugin.images.pixels import Pixels

FIRST_FRAME = "only the first of several frames or pages"


@dataclass(frozen=True)
class Decoded:
    """An image as its file stores it.

    Attributes:
        colour: (H, W, 3) RGB or (H, W, 1) grey, the whole range of uint8 or uint16.
        alpha: (H, W) opacity in the dtype of `colour`, not multiplied into it; None if opaque.
        icc_profile: The colour profile, None if there is none.
        exif: The EXIF data, which may still turn out to be damaged further in.
        chunks: See `Picture`.
        notes: What was changed or left out.
    """

    colour: Pixels
    alpha: Pixels | None = None
    icc_profile: bytes | None = None
    exif: Image.Exif = field(default_factory=Image.Exif)
    chunks: tuple[Chunk, ...] = ()
    notes: tuple[str, ...] = ()

    def upright(self, orientation: int) -> Picture:
        """Return the picture, turned as EXIF's orientation says."""
        exif, notes = kept_exif(self.exif)
        picture = Picture(
            turned_upright(self.colour, orientation),
            None if self.alpha is None else turned_upright(self.alpha, orientation),
            self.icc_profile or None,
            exif,
            self.chunks,
            tuple(dict.fromkeys(self.notes + notes)),
        )
        return picture.with_fitting_profile()
