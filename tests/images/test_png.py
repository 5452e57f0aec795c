"""What a PNG says beside its pixels goes on into results, and into nothing that cannot hold it."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from image_files import noise, png_chunk, png_of_sixteen_bits, srgb_profile
from PIL import Image

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.picture import Chunk, Picture
from smsr_plugin.images.reading import decode, read_header, read_picture
from smsr_plugin.images.writing import write_picture

#: Display P3, gamma 1, the curve of HDR10: none of them sRGB.
COLOURS = {
    b"cICP": bytes([12, 16, 0, 1]),
    b"mDCV": struct.pack(">8HII", *range(1, 9), 10_000_000, 1),
    b"cLLI": struct.pack(">II", 10_000_000, 4_000_000),
    b"gAMA": struct.pack(">I", 100_000),
    b"cHRM": struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000),
    b"sRGB": b"\1",
}
TEXTS = [
    (b"tEXt", b"parameters\0a tree"),
    (b"zTXt", b"Title\0\0" + zlib.compress(b"long " * 99)),
    (b"iTXt", b"Comment\0\0\0de\0Kommentar\0" + "grün".encode()),
]


def png(*chunks: tuple[bytes, bytes], dtype: type = np.uint8, channels: int = 3) -> bytes:
    """Return a PNG with chunks put in before its pixels."""
    parts = [png_chunk(*chunk) for chunk in chunks]
    if dtype == np.uint16:
        return png_of_sixteen_bits(noise(5, 7, channels, dtype=dtype), *parts)
    stream = BytesIO()
    Image.fromarray(noise(5, 7, channels)).save(stream, "PNG")
    content = stream.getvalue()
    return content[:33] + b"".join(parts) + content[33:]


def chunks_of(content: bytes) -> dict[bytes, bytes]:
    """Return the data of the last chunk of each kind, read without the code under test."""
    position, found = 8, {}
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        found[kind] = content[position + 8 : position + 8 + length]
        position += length + 12
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_chunks_and_texts_are_written_as_they_were(tmp_path, dtype):
    content = png(*COLOURS.items(), *TEXTS, dtype=dtype)
    picture = decode(content)
    assert picture.chunks == tuple(Chunk(*chunk) for chunk in (*COLOURS.items(), *TEXTS))
    written = write_picture(picture, tmp_path / "a.png")
    assert written.notes == ()
    content = (tmp_path / "a.png").read_bytes()
    found = chunks_of(content)
    assert {kind: found[kind] for kind in COLOURS} == COLOURS
    assert max(content.index(kind) for kind in COLOURS) < content.index(b"IDAT")
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        texts = {"parameters": "a tree", "Title": "long " * 99, "Comment": "grün"}
        assert texts.items() <= image.info.items()
    assert (read_picture(tmp_path / "a.png").colour == picture.colour).all()


def test_what_other_formats_cannot_hold_is_said(tmp_path):
    picture = decode(png((b"gAMA", COLOURS[b"gAMA"]), (b"cICP", COLOURS[b"cICP"]), *TEXTS))
    for name, kind in (("a.jpg", "JPEG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")):
        written = write_picture(picture, tmp_path / name)
        assert written.notes == (f"{kind} cannot hold its colour chunks (cICP, gAMA) and 3 texts",)
        assert written.chunks == ()
        assert read_picture(tmp_path / name).chunks == ()
    alone = decode(png(TEXTS[0]))
    assert write_picture(alone, tmp_path / "b.jpg").notes == ("JPEG cannot hold its text",)


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455))],
        [(b"gAMA", struct.pack(">I", 45455))],
        [(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))],
    ],
)
def test_nothing_is_lost_with_chunks_that_say_srgb(tmp_path, chunks):
    assert write_picture(decode(png(*chunks)), tmp_path / "a.jpg").notes == ()


def test_xmp_and_raw_profiles_are_not_handed_on():
    texts = [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"), (b"tEXt", b"Raw profile type iptc\0x")]
    assert decode(png(*texts)).chunks == ()


@pytest.mark.parametrize("damage", ["checksum", "length"])
def test_damaged_chunks_that_the_pixels_do_not_need_are_dropped_with_a_note(damage):
    if damage == "checksum":
        content = bytearray(png((b"gAMA", COLOURS[b"gAMA"]), TEXTS[0]))
        content[content.index(b"a tree")] ^= 1
        picture = decode(bytes(content))
        assert picture.notes == ("damaged and dropped: tEXt",)
        assert [chunk.kind for chunk in picture.chunks] == [b"gAMA"]
    else:
        picture = decode(png((b"zTXt", b"Title\0\0" + zlib.compress(b"text")[:-2])))
        assert picture.chunks == ()
        assert picture.notes == ("1 of its texts is damaged or longer than 1 MiB and was dropped",)


def test_a_chunk_that_is_needed_and_not_known_is_named():
    with pytest.raises(ImageError, match=r"^the PNG needs a chunk that is not known, 'CgBI'$"):
        decode(png((b"CgBI", b"\x50\0\x20\2")))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_colour_profile_of_megabytes_is_kept(tmp_path, dtype):
    profile = srgb_profile() + np.random.default_rng(0).bytes(3 << 20)
    picture = Picture(noise(5, 7, 3, dtype=dtype), icc_profile=profile)
    write_picture(picture, tmp_path / "a.png")
    again = read_picture(tmp_path / "a.png")
    assert again.icc_profile == profile
    assert (again.colour == picture.colour).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_is_taken_in_units_of_the_depth(depth):
    values = np.arange(2**depth if depth < 8 else 256, dtype=np.uint16).reshape(1, -1)
    key = int(values[0, -1])
    bits = "".join(f"{value:0{depth}b}" for value in values[0])
    row = int(bits, 2).to_bytes(-(-len(bits) // 8), "big") if len(bits) % 8 == 0 else bytes(
        [int(bits.ljust(8, "0"), 2)]
    )  # fmt: skip
    header = struct.pack(">IIBBBBB", values.shape[1], 1, depth, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"tRNS", struct.pack(">H", key)))
    parts += ((b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b""))
    picture = decode(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts))
    top = 65535 if depth == 16 else 255
    scaled = values if depth in (8, 16) else values * (255 // (2**depth - 1))
    assert (picture.colour[..., 0] == scaled).all()
    assert picture.alpha is not None
    assert (picture.alpha == np.where(values == key, 0, top)).all()


def test_the_orientation_is_found_wherever_it_stands():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = exif.tobytes()
    behind = png()[:-12] + png_chunk(b"eXIf", data.removeprefix(b"Exif\0\0")) + png()[-12:]
    profile = f"\nexif\n{len(data):8}\n{data.hex()}\n".encode()
    for content in (behind, png((b"tEXt", b"Raw profile type exif\0" + profile))):
        header = read_header(BytesIO(content))
        assert (header.width, header.height, header.stored_size) == (5, 7, (7, 5))
        assert (decode(content).colour == np.rot90(noise(5, 7, 3), -1)).all()


def test_of_an_apng_the_first_frame():
    picture = decode(png((b"acTL", struct.pack(">II", 3, 0))))
    assert picture.notes == ("only the first of several frames or pages",)
    assert (picture.colour == noise(5, 7, 3)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_first_chunk_that_makes_no_sense_is_damage(channels):
    content = png(dtype=np.uint16, channels=channels)
    for place, value in ((24, 3), (25, 5), (19, 0), (12, ord("J"))):
        damaged = bytearray(content)
        damaged[place] = value
        damaged[29:33] = zlib.crc32(damaged[12:29]).to_bytes(4, "big")
        with pytest.raises(ImageError, match=r"^the PNG is damaged \("):
            decode(bytes(damaged))
