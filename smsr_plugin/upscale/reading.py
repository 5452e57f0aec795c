"""Image files to pictures: any kind that Pillow decodes, and 16 bits a value, which it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from smsr_plugin.images import files as image_files
from smsr_plugin.images.files import FORMATS, MAX_PIXELS, DataError, check_complete, too_large
from smsr_plugin.upscale.errors import ImageError
from smsr_plugin.upscale.metadata import ORIENTATION, kept_exif, turned_upright
from smsr_plugin.upscale.picture import Picture, Pixels
from smsr_plugin.upscale.sixteen_bits import has_sixteen_bits, layout, read_sixteen_bits

GREY_MODES = frozenset({"1", "L", "LA", "La"})
PALETTE_MODES = frozenset({"P", "PA"})
COLOUR_MODES = PALETTE_MODES | {"RGB", "RGBA", "RGBX", "RGBa", "YCbCr", "CMYK"}

DAMAGED_EXIF = "its EXIF data are damaged and were dropped"


def read_picture(path: Path, max_pixels: int | None = None) -> Picture:
    """Read an image file, turned upright.

    Grey and 16-bit images stay what they are. A palette becomes RGB, as does CMYK, through its
    colour profile. Of an animation the first frame is read. The notes say so.

    Args:
        path: BMP, GIF, JPEG, PNG, PPM, TIFF or WebP; told from the content, not the name.
        max_pixels: Refuse larger images: a small file can claim any size. By default
            `image_files.max_pixels`.

    Raises:
        ImageError: If the file is no such image, damaged, cut short, empty or too large.
    """
    if not path.is_file():
        raise ImageError("is not a file" if path.exists() else "does not exist")
    with _guarded(), path.open("rb") as file:
        limit = max_pixels or image_files.max_pixels()
        if not file.read(1):
            raise ImageError("the file is empty")
        file.seek(0)
        # Pillow gets some turned TIFFs wrong if it opens the file itself.
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > limit:
                option = f"--max-pixels or {MAX_PIXELS}"
                raise ImageError(too_large(image.width * image.height, limit, option))
            picture = _decoded(image, path)
            if image.format != "MPO" and getattr(image, "is_animated", False):
                picture = picture.changed("only the first of several frames or pages")
        return picture.with_fitting_profile()


def _decoded(image: Image.Image, path: Path) -> Picture:
    if image.format == "PNG":  # Pillow and OpenCV accept one that was cut at the end
        _check_png(path)
    stored_layout = layout(image)
    stored_orientation, notes = _orientation(image)
    image.load()
    profile = image.info.get("icc_profile")
    if has_sixteen_bits(image, stored_layout):
        colour, alpha = read_sixteen_bits(image, stored_layout, path.read_bytes())
        orientation = stored_orientation
    else:
        # Pillow turns a TIFF itself, and drops the tag, when it loads.
        orientation, _ = _orientation(image)
        decoded = image
        if image.mode == "CMYK":
            decoded, profile = _without_cmyk(image), None
            notes += ("CMYK, converted to sRGB",)
        elif image.mode in PALETTE_MODES:
            notes += ("palette, becomes RGB",)
        colour, alpha = _eight_bits(decoded)
    try:
        exif = kept_exif(image.getexif())
    except Exception:  # Pillow raises many types on damaged data
        exif, notes = {}, (*notes, DAMAGED_EXIF)
    return Picture(
        turned_upright(colour, orientation),
        None if alpha is None else turned_upright(alpha, orientation),
        profile or None,
        exif,
        tuple(dict.fromkeys(notes)),
    )


def _orientation(image: Image.Image) -> tuple[object, tuple[str, ...]]:
    """Return the orientation as the image now has it, and a note if its EXIF data are damaged."""
    try:
        return image.getexif().get(ORIENTATION), ()
    except Exception:  # as in _decoded
        return None, (DAMAGED_EXIF,)


def _check_png(path: Path) -> None:
    try:
        check_complete(path.read_bytes(), path.name)
    except DataError as error:
        raise ImageError(str(error).removeprefix(f"{path.name}: ")) from error


def _eight_bits(image: Image.Image) -> tuple[Pixels, Pixels | None]:
    if image.mode not in GREY_MODES | COLOUR_MODES:
        raise ImageError(
            f"expected grey, RGB or palette pixels of 8 or 16 bits, got mode {image.mode!r}"
        )
    mode = "L" if image.mode in GREY_MODES else "RGB"
    if not image.has_transparency_data:
        colour = np.array(image.convert(mode))
        return colour.reshape(*colour.shape[:2], -1), None
    both = np.array(image.convert(f"{mode}A"))
    return both[..., :-1], both[..., -1]


def _without_cmyk(image: Image.Image) -> Image.Image:
    """Return a CMYK image in sRGB: through its profile, without one by Pillow's formula."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, BytesIO(profile), srgb, outputMode="RGB")
            if converted is not None:
                return converted
        except ImageCms.PyCMSError:
            pass
    return image.convert("RGB")


@contextmanager
def _guarded() -> Iterator[None]:
    """Make ImageErrors of all that Pillow raises; the limit on pixels is ours, not Pillow's."""
    try:
        with image_files.without_pillows_limit():
            yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise ImageError(f"is damaged or not an image of a known kind ({known})") from error
    except MemoryError as error:
        raise ImageError("needs more memory than there is") from error
    except Exception as error:  # Pillow raises many types; each means that this is no image
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"cannot be read: {reason.splitlines()[0]}") from error
