"""PPM of 16 bits, gain maps, unusual TIFFs; and whatever is written is read again."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
import tifffile
from image_files import noise
from PIL import Image
from PIL.ExifTags import IFD, Base
from tiff_files import ASSOCIATED, DEFLATE, LZW, MIN_IS_WHITE, RGB, Layout, tiff

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.picture import GREY, Picture
from smsr_plugin.images.reading import decode, read_header, read_picture
from smsr_plugin.images.writing import write_picture


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("largest", [1023, 65535])
def test_ppm_of_more_than_eight_bits_stays_so(channels, plain, largest):
    values = (noise(5, 7, channels, dtype=np.uint16) % np.uint32(largest + 1)).astype(np.uint16)
    kind = {(1, False): 5, (3, False): 6, (1, True): 2, (3, True): 3}[channels, plain]
    data = " ".join(map(str, values.ravel())).encode() if plain else values.astype(">u2").tobytes()
    content = b"P%d # a comment\n7 5\n# another\n%d\n" % (kind, largest) + data
    header = read_header(BytesIO(content))
    assert (header.width, header.height, header.bits) == (7, 5, largest.bit_length())
    picture = decode(content)
    assert picture.dtype == np.uint16
    assert picture.colour.shape == (5, 7, channels)
    exact = values / largest * 65535
    assert np.abs(picture.colour - exact).max() <= 0.5
    for damaged, message in (
        (content[:-3] if plain else content[:-1], "cut short"),
        (content.replace(b"%d\n" % largest, b"%d\n" % 300), "larger than its largest"),
    ):
        if plain and message == "cut short":
            damaged = content[: content.rindex(b" ")]
        with pytest.raises(ImageError, match=message):
            decode(damaged)


def test_ppm_of_eight_bits_and_bits():
    rgb = noise(5, 7, 3)
    assert (decode(b"P6 7 5 255\n" + rgb.tobytes()).colour == rgb).all()
    bits = noise(5, 8) > 127
    picture = decode(b"P4 8 5\n" + np.packbits(bits, axis=1).tobytes())
    assert (picture.colour[..., 0] == np.where(bits, 0, 255)).all()
    for content, message in (
        (b"PF 2 2 -1.0\n" + bytes(48), "floating-point"),
        (b"P6 0 5 255\n", "no pixels"),
        (b"P6 7 5 70000\n", "largest value"),
        (b"P6 seven 5 255\n", "beginning makes no sense"),
    ):
        with pytest.raises(ImageError, match=message):
            decode(content)


def test_a_gain_map_is_missed_aloud():
    stream = BytesIO()
    Image.fromarray(noise(8, 8, 3)).save(stream, "JPEG")
    plain = stream.getvalue()
    assert decode(plain).notes == ()
    name = b"urn:iso:std:iso:ts:21496:-1\0"
    segment = b"\xff\xe2" + struct.pack(">H", 2 + len(name)) + name
    assert decode(plain[:2] + segment + plain[2:]).notes == (
        "its gain map, which makes it HDR, was left out",
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_in_which_white_is_zero_is_turned_round(dtype):
    pixels = noise(21, 37, 1, dtype=dtype)
    for compression in (1, LZW, DEFLATE):
        layout = Layout(compression=compression, photometric=MIN_IS_WHITE)
        assert (decode(tiff(pixels, layout)).colour == np.iinfo(dtype).max - pixels).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_that_were_multiplied_by_opacity_are_divided_by_it(dtype):
    top = np.iinfo(dtype).max
    colour, alpha = noise(21, 37, 3, dtype=dtype), noise(21, 37, dtype=dtype, seed=1)
    alpha[0], alpha[1] = 0, top
    multiplied = np.rint(colour.astype(float) * alpha[..., None] / top).astype(dtype)
    picture = decode(tiff(np.dstack((multiplied, alpha)), Layout(extra=ASSOCIATED)))
    assert (picture.alpha == alpha).all()
    assert (picture.colour[1] == colour[1]).all()
    error = np.abs(picture.colour.astype(float) - colour)
    assert (error <= 0.5 * top / np.maximum(alpha, 1)[..., None] + 0.5)[alpha > 0].all()


def test_channels_that_are_no_opacity_are_left_out_with_a_note():
    pixels = noise(21, 37, 4)
    picture = decode(tiff(pixels, Layout(extra=0)))
    assert picture.alpha is None
    assert (picture.colour == pixels[..., :3]).all()
    assert picture.notes == ("channels that are not opacity were left out",)
    silent = decode(tiff(pixels, Layout(extra=None)))  # opacity, as other readers take it
    assert silent.alpha is not None
    assert (silent.alpha == pixels[..., 3]).all()


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_is_turned_back_once(planar, orientation):
    pixels = noise(5, 7, 3, dtype=np.uint16)
    picture = decode(tiff(pixels, Layout(planar, orientation=orientation, compression=DEFLATE)))
    stored = picture.colour
    inverse = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    again = decode(tiff(stored, Layout(orientation=inverse)))
    assert (again.colour == pixels).all()
    assert picture.size == ((5, 7) if orientation > 4 else (7, 5))


@pytest.mark.parametrize(
    ("layout", "pixels", "message"),
    [
        (Layout(), noise(5, 7, 3).astype(np.int8), "^signed values"),
        (Layout(), noise(5, 7, 3).astype(np.int16), "^signed values"),
        (Layout(), noise(5, 7, 3).astype(np.uint32), "^TIFF values of 32 bits"),
        (Layout(photometric=5), noise(5, 7, 4, dtype=np.uint16), "^CMYK of other than 8 bits"),
        (Layout(photometric=32803), noise(5, 7, 1), "^TIFF colours of kind CFA"),
        (Layout(photometric=RGB), noise(5, 7, 1), "^the TIFF has 1 channels, which does not fit"),
        (Layout(predictor=3, compression=LZW), noise(5, 7, 3), "^TIFF predictor 3"),
        (Layout(predictor=2), noise(5, 7, 3), "^TIFF predictor 2"),
    ],
)
def test_tiffs_that_are_refused_by_name(layout, pixels, message):
    with pytest.raises(ImageError, match=message):
        decode(tiff(pixels, layout))


def test_compressions_that_are_not_unpacked_are_named():
    content = bytearray(tiff(noise(5, 7, 3), Layout()))
    place = content.index(struct.pack("<HHI", 259, 3, 1)) + 8
    content[place : place + 2] = struct.pack("<H", 34887)
    with pytest.raises(ImageError, match="compressed by LERC, is not supported: save it"):
        decode(bytes(content))


@pytest.mark.parametrize("kinds", [(1, 1, 3), (1, 2, 1), (8, 8, 16), (8, 4, 8)])
def test_channels_of_different_kinds_are_refused_by_name(kinds):
    same = struct.pack("<3H", *[8 if max(kinds) > 3 else 1] * 3)
    content = tiff(noise(5, 7, 3), Layout())
    assert same in content
    with pytest.raises(ImageError, match=r"^TIFF channels of different kinds are not supported"):
        decode(content.replace(same, struct.pack("<3H", *kinds), 1))


@pytest.mark.parametrize("compression", [1, LZW, DEFLATE])
def test_a_tiff_cut_anywhere_is_refused(compression):
    content = tiff(noise(21, 37, 3), Layout(compression=compression))
    for length in range(0, len(content) - 1, 97):
        with pytest.raises(ImageError):
            decode(content[:length])


def test_a_strip_that_unpacks_to_gigabytes_takes_no_memory_for_them():
    import zlib

    pixels = noise(21, 37, 1)
    content = tiff(pixels, Layout(compression=DEFLATE, rows=21))
    bomb = zlib.compress(bytes(pixels.tobytes()) + bytes(1 << 26), 9)
    old = zlib.compress(pixels.tobytes())
    content = content.replace(old, bomb).replace(
        struct.pack("<HHII", 279, 4, 1, len(old)), struct.pack("<HHII", 279, 4, 1, len(bomb))
    )
    assert (decode(content).colour == pixels).all()


@pytest.mark.parametrize(
    ("description", "program"),
    [
        ("ImageJ=1.53\nimages=3\nslices=3\n", "ImageJ"),
        ('{"shape": [3, 5, 7]}', "tifffile"),
        ('<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/x">', "OME"),
        ("a photograph of ImageJ's author", None),
    ],
)
def test_a_description_of_the_layout_is_not_handed_on(tmp_path, description, program):
    stream = BytesIO()
    tifffile.imwrite(stream, noise(5, 7, 3), photometric="rgb", description=description,
                     metadata=None)  # fmt: skip
    picture = decode(stream.getvalue())
    if program is None:
        assert picture.exif[Base.ImageDescription] == description
        assert picture.notes == ()
        return
    assert Base.ImageDescription not in picture.exif
    assert picture.notes == (f"its description, the layout of a file for {program}, was dropped",)
    write_picture(picture, tmp_path / "a.tif")
    assert (tifffile.imread(tmp_path / "a.tif") == picture.colour).all()


@pytest.mark.parametrize("byte_order", "<>")
def test_descriptions_of_a_bigtiff(byte_order):
    stream = BytesIO()
    tifffile.imwrite(stream, noise(5, 7, 3), photometric="rgb", description="a tree", metadata=None,
                     bigtiff=True, byteorder=byte_order)  # fmt: skip
    assert decode(stream.getvalue()).exif[Base.ImageDescription] == "a tree"


@pytest.mark.parametrize("kind", ["JPEG", "PALETTE", "FAX"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_tiffs_that_pillow_decodes_as_a_whole(kind, orientation):
    image = Image.fromarray(noise(16, 24, 3))
    options = {"compression": "jpeg", "quality": 100}
    if kind == "PALETTE":
        image, options = image.quantize(16), {"compression": "tiff_lzw"}
    elif kind == "FAX":
        image, options = image.convert("1"), {"compression": "group4"}
    stream = BytesIO()
    image.save(stream, "TIFF", tiffinfo={274: orientation}, **options)
    with Image.open(BytesIO(stream.getvalue())) as opened:  # which Pillow turns
        expected = np.asarray(opened.convert("L" if kind == "FAX" else "RGB"))
    picture = decode(stream.getvalue())
    assert (picture.colour.squeeze() == expected).all()


@pytest.mark.parametrize(
    ("name", "channels", "dtype"),
    [
        (name, channels, dtype)
        for name in ("a.png", "a.tif", "a.jpg", "a.webp")
        for channels in (1, 2, 3, 4)
        for dtype in (np.uint8, np.uint16)
    ],
)
def test_whatever_is_written_is_read_again(tmp_path, name, channels, dtype):
    pixels = noise(16, 24, channels, dtype=dtype)
    opaque = channels in (1, 3)
    exif = {Base.Artist: "Me", IFD.Exif: {Base.DateTimeOriginal: "2020:01:01 00:00:00"}}
    picture = Picture(pixels if opaque else pixels[..., :-1], None if opaque else pixels[..., -1],
                      exif=exif)  # fmt: skip
    written = write_picture(picture, tmp_path / name)
    again = read_picture(tmp_path / name)
    header = read_header(BytesIO((tmp_path / name).read_bytes()))
    assert again.size == picture.size == (header.width, header.height)
    assert (again.dtype, again.is_grey) == (written.dtype, written.is_grey)
    assert (header.colour == GREY) == written.is_grey
    assert again.exif[Base.Artist] == "Me"
    assert again.notes == ()
    if name in ("a.png", "a.tif"):
        assert (again.colour == written.colour).all()
        assert (again.alpha is None) == opaque
        assert opaque or (again.alpha == written.alpha).all()
