"""What a TIFF's tags say of its first page, and which pages are refused by name."""

from __future__ import annotations

import struct
from typing import BinaryIO

from tifffile import COMPRESSION, PHOTOMETRIC, SAMPLEFORMAT, TiffFile, TiffPage

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.metadata import known_orientation
from smsr_plugin.images.picture import CMYK, GREY, PALETTE, RGB, Header

ORIENTATION, PROFILE, DNG_VERSION, EXTRA_SAMPLES = 274, 34675, 50706, 338
WHITE_IS_ZERO = PHOTOMETRIC.MINISWHITE

#: How many channels come before extra ones, and what they are.
COLOURS = {
    PHOTOMETRIC.MINISWHITE: (1, GREY),
    PHOTOMETRIC.MINISBLACK: (1, GREY),
    PHOTOMETRIC.RGB: (3, RGB),
    PHOTOMETRIC.PALETTE: (1, PALETTE),
    PHOTOMETRIC.SEPARATED: (4, CMYK),
    PHOTOMETRIC.YCBCR: (3, RGB),
}
#: Values that are no unsigned integers, by what they are called.
FORMATS = {
    SAMPLEFORMAT.INT: "signed",
    SAMPLEFORMAT.IEEEFP: "floating-point",
    SAMPLEFORMAT.COMPLEXINT: "complex",
    SAMPLEFORMAT.COMPLEXIEEEFP: "complex",
}
#: Opacity among extra channels, the first multiplied into the colours.
ASSOCIATED, UNASSOCIATED = 1, 2
MOST_CHANNELS = 16
MIXED = "TIFF channels of different kinds are not supported: convert it to 8 or 16 bits"

#: Compressions of bytes, whatever they mean; of whole images; and those that may have a predictor.
BYTES = {
    COMPRESSION.NONE,
    COMPRESSION.LZW,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS,
    COMPRESSION.LZMA,
    COMPRESSION.ZSTD,
}
FAX = {COMPRESSION.CCITTRLE, COMPRESSION.CCITT_T4, COMPRESSION.CCITT_T6}
IMAGES = {COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.WEBP}
PREDICTED = BYTES - {COMPRESSION.NONE, COMPRESSION.PACKBITS}
NO_PREDICTOR, HORIZONTAL = 1, 2
SEPARATE = 2


def opened(file: BinaryIO) -> TiffFile:
    """Open a file; to be closed.

    Raises:
        ImageError: If its channels are of different kinds.
    """
    try:
        return TiffFile(file)
    except TypeError as error:  # tifffile takes the kind of values for one number
        raise ImageError(MIXED) from error


def first_page(tiff: TiffFile) -> TiffPage:
    """Return the page that is read.

    Raises:
        ImageError: If its pixels cannot be decoded with certainty; the message names what they are.
    """
    page = tiff.pages.first
    if not isinstance(page, TiffPage):
        raise ImageError("the TIFF is damaged (it has no page)")
    if fault := _refusal(page):
        raise ImageError(fault)
    return page


def read_header(file: BinaryIO) -> Header:
    """Read size and kind of the first page."""
    file.seek(0)
    with opened(file) as tiff:
        page = first_page(tiff)
        return Header(
            "TIFF",
            (page.imagewidth, page.imagelength),
            COLOURS[PHOTOMETRIC(page.photometric)][1],
            page.bitspersample,
            opacity_channel(page) is not None,
            known_orientation(page.tags.valueof(ORIENTATION)),
        )


def opacity_channel(page: TiffPage) -> int | None:
    """Return the number of the channel that is opacity, None if there is none.

    A single extra channel of which nothing is said is taken for opacity, as other readers do.
    """
    base = COLOURS[PHOTOMETRIC(page.photometric)][0]
    extra = page.samplesperpixel - base
    if extra == 1 and EXTRA_SAMPLES not in page.tags:
        return base
    kinds = list(page.extrasamples)[:extra]
    found = [number for number, kind in enumerate(kinds) if kind in (ASSOCIATED, UNASSOCIATED)]
    return base + found[0] if found else None


def is_direct(page: TiffPage) -> bool:
    """Tell whether the bytes of a page are unpacked, and then taken for what its tags say.

    The other pages are decoded by Pillow as a whole.
    """
    return (
        page.compression in BYTES
        and page.bitspersample in (1, 8, 16)
        and page.photometric not in (PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR)
    )


def has_more_pages(tiff: TiffFile, page: TiffPage, content: bytes) -> bool:
    """Tell whether a file says that there is another page."""
    count, size, offset = ("Q", 20, "Q") if tiff.is_bigtiff else ("H", 12, "I")
    entries = struct.unpack_from(tiff.byteorder + count, content, page.offset)[0]
    place = page.offset + struct.calcsize(count) + size * entries
    return bool(struct.unpack_from(tiff.byteorder + offset, content, place)[0])


def _refusal(page: TiffPage) -> str | None:
    """Say why a page is not decoded, None if it is."""
    bits, photometric = page.bitspersample, page.photometric
    if isinstance(bits, tuple):
        return MIXED
    if DNG_VERSION in page.tags:
        return "is a camera's raw file (DNG): develop it first"
    if page.imagewidth < 1 or page.imagelength < 1:
        return "the TIFF is damaged (it has no pixels)"
    if page.imagedepth != 1:
        return "TIFF volumes are not supported"
    if page.sampleformat in FORMATS:
        what = FORMATS[SAMPLEFORMAT(page.sampleformat)]
        return f"{what} values ({bits}-bit TIFF) are not supported: convert it to 8 or 16 bits"
    if bits not in (1, 2, 4, 8, 16):
        return f"TIFF values of {bits} bits are not supported: convert it to 8 or 16 bits"
    if photometric not in COLOURS:
        return f"TIFF colours of kind {_name(PHOTOMETRIC, photometric)} are not supported"
    extra = page.samplesperpixel - COLOURS[PHOTOMETRIC(photometric)][0]
    if extra < 0 or page.samplesperpixel > MOST_CHANNELS:
        return f"the TIFF has {page.samplesperpixel} channels, which does not fit its colours"
    return _direct_refusal(page, extra) if is_direct(page) else _whole_refusal(page, extra)


def _direct_refusal(page: TiffPage, extra: int) -> str | None:
    if page.bitspersample == 1 and page.samplesperpixel > 1:
        return "TIFF of 1 bit with several channels is not supported: convert it to 8 bits"
    is_cmyk = page.photometric == PHOTOMETRIC.SEPARATED
    if is_cmyk and (page.bitspersample != 8 or extra):
        return "CMYK of other than 8 bits, or with opacity, is not supported: convert it to RGB"
    if page.predictor == NO_PREDICTOR:
        return None
    known = page.predictor == HORIZONTAL and page.bitspersample >= 8
    if not known or page.compression not in PREDICTED:
        return f"TIFF predictor {page.predictor} is not supported for these values"
    return None


def _whole_refusal(page: TiffPage, extra: int) -> str | None:
    bits, compression = page.bitspersample, page.compression
    fits = (
        (compression in FAX and bits == 1 and page.samplesperpixel == 1)
        or (compression in IMAGES and bits == 8)
        or (compression in BYTES and bits < 8 and page.samplesperpixel == 1)
        or (compression in BYTES and bits == 8 and extra == 0)
    )
    separate = page.planarconfig == SEPARATE and page.samplesperpixel > 1
    if fits and not separate:
        return None
    planes = ", separate planes" if separate else ""
    colours, packed = _name(PHOTOMETRIC, page.photometric), _name(COMPRESSION, compression)
    advice = "convert it to RGB" if compression in BYTES else "save it uncompressed or with LZW"
    return (
        f"{bits}-bit TIFF of kind {colours} with {page.samplesperpixel} channels{planes}, "
        f"compressed by {packed}, is not supported: {advice}"
    )


def _name(names: type[PHOTOMETRIC] | type[COMPRESSION], number: int) -> str:
    try:
        return names(number).name
    except ValueError:
        return str(number)
