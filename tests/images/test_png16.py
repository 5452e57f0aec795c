"""16-bit PNG against OpenCV, for every way in which a row may be predicted."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import noise, png_chunk

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.png16 import ADAM7, pack_pixels, unpack_pixels

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
SIZES = [(1, 1), (1, 9), (9, 1), (5, 7), (16, 16), (33, 8)]


def png(data: bytes, height: int, width: int, channels: int, interlaced: bool) -> bytes:
    """Return a whole file around image data."""
    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, interlaced)
    parts = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def by_opencv(content: bytes) -> np.ndarray:
    """Decode with libpng; (H, W, C), RGB."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.shape[2] > 1 else pixels


@given(
    size=st.sampled_from(SIZES),
    channels=st.sampled_from([1, 3, 4]),
    interlaced=st.booleans(),
    seed=st.integers(0, 999),
)
def test_what_any_filters_say_is_what_libpng_reads(size, channels, interlaced, seed):
    # Random bytes are an image whatever the filters: what counts is that both undo them alike.
    rng = np.random.default_rng(seed)
    height, width = size
    scanlines = []
    for top, left, down, right in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        rows, columns = -(-(height - top) // down), -(-(width - left) // right)
        if rows > 0 and columns > 0:
            lines = rng.integers(0, 256, (rows, 1 + 2 * channels * columns), np.uint8)
            lines[:, 0] = rng.integers(0, 5, rows)
            scanlines.append(lines.tobytes())
    data = zlib.compress(b"".join(scanlines))
    found = unpack_pixels(data, height, width, channels, interlaced)
    assert found.dtype == np.uint16
    assert (found == by_opencv(png(data, height, width, channels, interlaced))).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_packed_is_read_back_and_by_libpng(size, channels):
    pixels = noise(*size, channels, dtype=np.uint16)
    data = pack_pixels(pixels, 4)
    assert (unpack_pixels(data, *size, channels, False) == pixels).all()
    if channels != 2:  # OpenCV gives grey and alpha as four channels
        assert (by_opencv(png(data, *size, channels, False)) == pixels).all()


def test_image_data_that_are_damaged_are_refused():
    pixels = noise(5, 7, 3, dtype=np.uint16)
    data = pack_pixels(pixels, 4)
    for wrong in (b"", data[:-20], b"no zlib"):
        with pytest.raises(ImageError, match="cannot be decoded"):
            unpack_pixels(wrong, 5, 7, 3, False)
    with pytest.raises(ImageError, match="cannot be decoded"):
        unpack_pixels(data, 6, 7, 3, False)
    lines = bytearray(zlib.decompress(data))
    lines[0] = 5
    with pytest.raises(ImageError, match="a filter that there is not"):
        unpack_pixels(zlib.compress(bytes(lines)), 5, 7, 3, False)
