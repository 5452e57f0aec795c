"""Every layout of a TIFF is read as what it holds, or refused by name: `pytest -s` has the table.

The files are written by the specification; tifffile reads them as the second opinion, where it can
without its codecs.
"""

from __future__ import annotations

import itertools
from collections import Counter
from importlib.util import find_spec
from io import BytesIO

import numpy as np
import pytest
import tifffile
from tiff_files import DEFLATE, LZW, NONE, Layout, tiff

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.reading import decode

VALUES = {"8": np.uint8, "16": np.uint16, "float": np.float32, "1 bit": np.bool_}
CHANNELS = {"grey": 1, "grey+alpha": 2, "RGB": 3, "RGBA": 4}
COMPRESSIONS = {"none": NONE, "deflate": DEFLATE, "LZW": LZW}
#: What is refused, and by which words.
REFUSED = {
    **{("float", colour): "floating-point values" for colour in CHANNELS},
    **{("1 bit", colour): "1 bit with several channels" for colour in list(CHANNELS)[1:]},
}
LAYOUTS = [
    Layout(planar, compression, byte_order, tile)
    for planar, compression, byte_order, tile in itertools.product(
        (1, 2), COMPRESSIONS.values(), "<>", (0, 16)
    )
]


def pixels_of(values: str, channels: int) -> np.ndarray:
    """Return noise whose values matter in each byte, of a size that no tile or strip divides."""
    rng = np.random.default_rng(channels)
    noise = rng.random((21, 37, channels))
    if values == "1 bit":
        return noise > 0.5
    if values == "float":
        return noise.astype(np.float32)
    return (noise * (np.iinfo(VALUES[values]).max + 1)).astype(VALUES[values])


def outcome(values: str, colour: str, layout: Layout) -> str:
    """Read a file and compare it with what it was written from; return "right" or the refusal."""
    pixels = pixels_of(values, CHANNELS[colour])
    content = tiff(pixels, layout, 1 if values == "1 bit" else None)
    second = second_opinion(content, layout)
    if second is not None:
        assert (second == pixels).all(), "the file itself is wrong"
    try:
        picture = decode(content)
    except ImageError as error:
        return str(error)
    found = picture.colour
    if picture.alpha is not None:
        found = np.dstack((found, picture.alpha))
    expected = pixels * np.uint8(255) if values == "1 bit" else pixels
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert (found == expected).all()
    assert picture.notes == ()
    return "right"


def second_opinion(content: bytes, layout: Layout) -> np.ndarray | None:
    """Return what tifffile reads, (H, W, C), None where it would need its codecs."""
    if layout.compression == LZW and find_spec("imagecodecs") is None:
        return None
    pixels = tifffile.imread(BytesIO(content))
    if pixels.ndim == 2:
        return pixels[..., None]
    return pixels if layout.planar == 1 else pixels.transpose(1, 2, 0)


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("colour", CHANNELS)
def test_matrix(values, colour):
    outcomes = Counter(outcome(values, colour, layout) for layout in LAYOUTS)
    print(f"\n{values:>6} {colour:<11}", *(f"{n} × {what}" for what, n in outcomes.items()))
    if (values, colour) in REFUSED:
        (refusal,) = outcomes
        assert REFUSED[values, colour] in refusal
    else:
        assert outcomes == {"right": len(LAYOUTS)}


@pytest.mark.parametrize("values", ["8", "16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("byte_order", "<>")
def test_differences_and_bigtiff(values, channels, big, byte_order):
    pixels = pixels_of(values, channels)
    for planar, compression in itertools.product((1, 2), (LZW, DEFLATE)):
        layout = Layout(planar, compression, byte_order, big=big, predictor=2)
        picture = decode(tiff(pixels, layout))
        assert (picture.colour == pixels[..., : channels - (channels % 2 == 0)]).all()
        if channels in (2, 4):
            assert picture.alpha is not None
            assert (picture.alpha == pixels[..., -1]).all()
