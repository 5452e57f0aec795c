"""`smsr upscale`: files in, larger files out."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable
from typing import Any

from smsr_plugin.cli.arguments import (
    add_precision,
    crf,
    factor,
    finite,
    not_negative,
    path,
    path_text,
    percent,
    positive,
    share,
    threads,
)
from smsr_plugin.config import UPSCALES
from smsr_plugin.engines.spec import LIBRARIES

DESCRIPTION = """\
Enlarge images or a video, skipping what needs no computation. Depth, opacity,
colour profile and EXIF are kept; of a video sound, dates and colours."""
#: Those that run a network as it is.
ENGINES = tuple(name for name, library in LIBRARIES.items() if not library.calibrated)
#: What other programs call what is called otherwise here.
HABITS = {
    **dict.fromkeys(("-i", "--input"), "name the images without an option"),
    "-s": "did you mean --scale, or --outscale X for any factor?",
    **dict.fromkeys(("-n", "-m", "--model_path"), "did you mean --weights FILE?"),
    "-t": "did you mean --tile PX?",
    "-f": "did you mean --ext EXT?",
}
#: Other names of the formats that --ext takes.
EXTENSIONS = {"jpeg": "jpg", "tif": "tiff"}


def add_parser(subparsers: Any) -> None:
    """Add `smsr upscale`."""
    parser = subparsers.add_parser(
        "upscale",
        help="enlarge images, or a video",
        usage="%(prog)s INPUT... -o OUT [options]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.habits = HABITS
    _add_options(parser)
    parser.set_defaults(run=run)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("inputs", nargs="+", type=path_text, metavar="INPUT",
        help="image, folder, 'in/*.jpg', or one video")  # fmt: skip
    add("-o", "--out", required=True, type=path, metavar="OUT",
        help="folder for the results, or the file for one")  # fmt: skip
    add("--weights", type=path, metavar="FILE",
        help="other weights, also NAME=FILE (or set SMSR_WEIGHTS)")  # fmt: skip
    add("--model", metavar="NAME", help="smsr, rlfn-s (default at x2) or rlfn (at x4)")
    add("--json", action="store_true", help="print a report for machines")
    _add_files(parser.add_argument_group("files").add_argument)
    _add_speed(parser.add_argument_group("quality and speed").add_argument)
    _add_size(parser.add_argument_group("large images").add_argument)


def _add_files(add: Callable[..., Any]) -> None:
    add("--recursive", action="store_true", help="also take the folders inside folders")
    add("--skip-existing", action="store_true", help="leave out what is there already")
    add("--suffix", default="", metavar="TEXT", help="put after each name, such as _x2")
    formats = ("same", "png", "jpg", "webp", "tiff")
    add("--ext", default="same", type=_extension, choices=formats, metavar="EXT",
        help="png, jpg, webp, tiff, or same as the input (default)")  # fmt: skip
    add("--quality", type=percent, default=95, metavar="N", help="of jpg and webp (%(default)s)")
    add("--crf", type=crf, default=16, metavar="N",
        help="of videos, 0 to 51; less is better and larger (%(default)s)")  # fmt: skip
    add("--masks", type=path, metavar="DIR", help="also write where it computed, as heat maps")


def _extension(text: str) -> str:
    name = text.lower().removeprefix(".")
    return EXTENSIONS.get(name, name)


def _add_speed(add: Callable[..., Any]) -> None:
    add("--scale", type=int, choices=UPSCALES,
        help="which of the package's networks (2)")  # fmt: skip
    add("--outscale", type=factor, metavar="X",
        help="any factor; Lanczos after the network's own")  # fmt: skip
    add("--density", type=share, metavar="D",
        help="share of the pixels to compute, 0 to 1; less is faster")  # fmt: skip
    add("--budget", type=factor, metavar="SECONDS",
        help="that an image may take; sets the density")  # fmt: skip
    add("--threshold", type=finite, default=0.0, metavar="T",
        help="for networks without densities: above 0 computes less")  # fmt: skip
    add_precision(add)
    add("--threads", type=threads, metavar="N", help="(default: one for each core)")
    add("--engine", choices=ENGINES, metavar="NAME",
        help="compute every pixel in openvino, ncnn, pytorch, ...")  # fmt: skip
    add("--dense", action="store_true", help="compute every pixel, in PyTorch: the oracle")


def _add_size(add: Callable[..., Any]) -> None:
    add("--tile", type=not_negative, metavar="PX",
        help="side of tiles, 0 never; else 512 above 2 megapixels")  # fmt: skip
    add("--tile-overlap", type=not_negative, default=32, metavar="PX", help="(%(default)s)")
    add("--max-pixels", type=positive, metavar="N",
        help="refuse larger inputs (89 million, or SMSR_MAX_PIXELS)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Upscale images or a video; see `upscale_images.run` and `upscale_video.run`."""
    _silence_decoders()
    from smsr_plugin.upscaling.inputs import names_a_video

    if any(map(names_a_video, args.inputs)):
        from smsr_plugin.cli import upscale_video as of_what
    else:
        from smsr_plugin.cli import upscale_images as of_what
    return of_what.run(args)


def _silence_decoders() -> None:
    """Keep what libraries say of a bad file off the terminal: one line of ours says it."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    for library in ("PIL", "tifffile"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
