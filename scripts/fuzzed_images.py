"""Small whole image files of every layout that has a way of its own through the reader."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def image_files() -> dict[str, bytes]:
    """Return files by what they hold, the same in each process."""
    rng = np.random.default_rng(0)
    rgb, deep = rng.integers(0, 256, (9, 14, 3), np.uint8), rng.integers(0, 65536, (9, 14, 3))
    deep = deep.astype(np.uint16)
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "an image", 6
    rgba = np.dstack((rgb, rgb[..., 0]))
    frames = [Image.fromarray(rgb[::-1])]
    return {
        "png": _pillow(rgb, "PNG", exif=exif, icc_profile=b"x" * 200),
        "png_alpha": _pillow(rgba, "PNG"),
        "png16": _opencv(deep, ".png"),
        "png16_alpha": _png_grey_alpha(deep[..., :2]),
        "jpeg": _pillow(rgb, "JPEG", exif=exif, progressive=True),
        "webp": _pillow(rgba, "WEBP", exif=exif),
        "bmp": _pillow(rgb, "BMP"),
        "gif": _pillow(rgb, "GIF", save_all=True, append_images=frames),
        "ppm": _pillow(rgb, "PPM"),
        "ppm16": _opencv(deep, ".ppm"),
        "pgm16": _opencv(deep[..., 0], ".pgm"),
        "ppm_plain": b"P3\n# none\n14 9\n65535\n" + b" ".join(b"%d" % v for v in deep.flat),
        **_tiffs(rgb, deep, exif),
    }


def _tiffs(rgb: np.ndarray, deep: np.ndarray, exif: Image.Exif) -> dict[str, bytes]:
    grey = {"photometric": "minisblack", "planarconfig": "contig"}
    separate = {"photometric": "rgb", "planarconfig": "separate"}
    planes, deep_planes = rgb.transpose(2, 0, 1), deep.transpose(2, 0, 1)
    return {
        "tiff": _pillow(rgb, "TIFF", compression="tiff_lzw", exif=exif),
        "tiff16_lzw": _opencv(deep, ".tiff"),
        "tiff16_alpha": _tifffile(deep[..., :2], compression="zlib", predictor=True, **grey),
        "tiff_planar": _tifffile(planes, rowsperstrip=4, **separate),
        "tiff16_tiles": _tifffile(deep_planes, tile=(16, 16), byteorder=">", **separate),
        "bigtiff": _tifffile(deep, bigtiff=True, compression="zlib", photometric="rgb"),
    }


def _pillow(pixels: np.ndarray, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def _opencv(pixels: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def _tifffile(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def _png_grey_alpha(pixels: np.ndarray) -> bytes:
    """Return 16-bit grey and opacity (H, W, 2) as a PNG; Pillow and OpenCV write none."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    size = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 4, 0, 0, 0)
    return png([(b"IHDR", size), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG of chunks (kind, data), their checksums made right."""
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
