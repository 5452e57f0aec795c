"""`smsr report`: one HTML page that shows what a network with masks computed for images."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import (
    FAILED,
    INTERRUPTED,
    add_precision,
    bad_usage,
    path,
    positive,
    share,
    threads,
)
from smsr_plugin.cli.terminal import print_error
from smsr_plugin.config import UPSCALES
from smsr_plugin.names import printable
from smsr_plugin.staging import replace_file

if TYPE_CHECKING:
    from smsr_plugin.report.lq_images import LqFile
    from smsr_plugin.report.measurements import Subject
    from smsr_plugin.report.page import Section

DEFAULT_OUT = Path("report.html")
SUFFIXES = (".html", ".htm")
RUNS = 5
#: lq pixels that a page shows of an image: at x2 the pictures to compare have four times as many.
CROP = 640 * 480

DESCRIPTION = """\
Write one HTML page on what a network computes for an image and what it skips:
bicubic interpolation, its result and the blocks' masks under a slider, times,
why flat regions can be skipped, quality against speed. The page holds all it
needs and loads nothing, so it can be mailed or archived."""

EPILOG = """\
examples:
  smsr report photo.png
  smsr report Set14/LR_bicubic/X2 --gt Set14/HR
  smsr report hr.png --from-gt --weights SMSR_X2.pt
  smsr report --training experiments/SMSR_x2

A ground truth has the name of its lq image, with or without x2, x3 or x4 at
the end. Images that cannot be read are named and left out; the exit code is
then 1, and 2 for wrong usage. Ctrl-C keeps the images that are done."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to the subparsers of `smsr`; return its parser."""
    parser = subparsers.add_parser(
        "report",
        help="write an HTML page on what was computed for an image",
        usage="%(prog)s INPUT... | --training DIR [-o HTML] [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=26),
    )
    add = parser.add_argument
    add("input", nargs="*", type=path, metavar="INPUT", help="lq images, or folders of them")
    add("--training", type=path, metavar="DIR",
        help="in place of images: the curves and masks of a training")  # fmt: skip
    network = parser.add_mutually_exclusive_group()
    network.add_argument("--weights", type=path, metavar="FILE",
        help="other weights than the package's (or set SMSR_WEIGHTS)")  # fmt: skip
    network.add_argument("--model", metavar="NAME",
        help="smsr, rlfn-s (default at x2) or rlfn (at x4)")  # fmt: skip
    add("--scale", type=int, choices=UPSCALES, help="which of the package's networks (2)")
    add("-o", "--out", type=path, default=DEFAULT_OUT, metavar="HTML", help="default: %(default)s")
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--gt", type=path, metavar="PATH", help="ground truth: an image or a folder")
    truth.add_argument(
        "--from-gt", action="store_true", help="INPUT is the ground truth; make lq images of it"
    )
    add("--density", type=share, metavar="D", help="share of the pixels to compute, 0 to 1")
    add("--threshold", type=float, default=0.0, metavar="T", help="of the masks (default: 0)")
    add_precision(add)
    add("--threads", type=threads, metavar="N", help="default: as many as PyTorch takes")
    add(
        "--runs",
        type=positive,
        default=RUNS,
        metavar="N",
        help="timed runs, up to three times as many where they differ (default: %(default)s)",
    )
    add(
        "--crop",
        type=positive,
        default=CROP,
        metavar="N",
        help="of lq images with more pixels show the middle (%(default)s)",
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command; see `_images` and `_training`."""
    if (args.training is None) == (not args.input):
        return bad_usage(args, "give an INPUT, or --training DIR")
    return _images(args) if args.training is None else _training(args)


def _training(args: argparse.Namespace) -> int:
    """Write the page on a training; return 0, or 2 after one line on stderr."""
    from smsr_plugin.report.history import read_history
    from smsr_plugin.report.training_page import render_training

    try:
        _check_output(args.out)
        history = read_history(args.training)
        page = render_training(history).encode()
        replace_file(args.out, page)
    except (ValueError, OSError) as error:
        return bad_usage(args, error)
    done = f"{history.iteration:,}" + (f" of {history.total:,}" if history.total else "")
    print(f"{printable(args.out)}: {done} iterations, {len(page) / 1e6:.1f} MB")
    return 0


def _images(args: argparse.Namespace) -> int:
    """Write the page on images.

    Returns:
        0; 1 if some images could not be read, after a line on stderr for each; 2 after one line
        if nothing could be done; 130 when interrupted. A page is written whole or not at all.
    """
    import torch

    from smsr_plugin.checkpoints.masked_networks import load
    from smsr_plugin.checkpoints.shipped import chosen_weights
    from smsr_plugin.images.files import left_out
    from smsr_plugin.report.lq_images import find_files
    from smsr_plugin.report.measurements import Subject
    from smsr_plugin.report.page import Context, render

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        _check_output(args.out)
        files = find_files(args.input, args.gt, args.from_gt)
        weights = chosen_weights(args.weights, args.model, args.scale)
        net = load(weights, scale=args.scale)
        if args.density is not None:
            net.set_density(args.density)
        subject = Subject(net, args.precision, args.threshold)
    except (ValueError, OSError) as error:
        return bad_usage(args, error)
    context = Context.of(subject, printable(weights.name))
    sections: list[Section] = []
    interrupted = False
    try:
        _measure(files, subject, args, sections)
    except KeyboardInterrupt:
        interrupted = True
    try:
        if sections:
            replace_file(args.out, render(sections, context).encode())
    except OSError as error:
        return bad_usage(args, error)
    for note in left_out(args.input):
        print(f"smsr report: note: {note}", file=sys.stderr)
    if interrupted:
        return _say_interrupted(args.out, len(sections), len(files))
    return _summarise(args.out, len(sections), len(files))


def _measure(
    files: Sequence[LqFile], subject: Subject, args: argparse.Namespace, sections: list[Section]
) -> None:
    """Measure the images, adding a section for each, and name those that cannot be used."""
    from tqdm import tqdm

    from smsr_plugin.images.errors import ImageError
    from smsr_plugin.images.files import DataError
    from smsr_plugin.report.lq_images import load_lq
    from smsr_plugin.report.measurements import measure, steps
    from smsr_plugin.report.page import make_section

    upscale = subject.sparse.config.upscale
    with tqdm(total=len(files) * steps(args.runs), unit="step", disable=None, leave=False) as bar:
        for file in files:
            bar.set_postfix_str(printable(file.path.name))
            done = bar.n
            try:
                image = load_lq(file, upscale, args.crop)
                measured = measure(subject, image, args.runs, bar.update)
            except (DataError, ImageError) as error:
                of_output = isinstance(error, ImageError)  # which does not name the image
                text = printable(f"{file.path}: {error}" if of_output else error)
                bar.write(f"smsr report: error: {text}", file=sys.stderr)
                bar.total -= done + steps(args.runs) - bar.n
                continue
            sections.append(make_section(measured, subject.name))


def _check_output(path: Path) -> None:
    """Raise ValueError if a page cannot be written there; before the work, not after it."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: the page must end in {' or '.join(SUFFIXES)}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path.parent}: there is no such folder, or it cannot be written to")


def _summarise(path: Path, done: int, wanted: int) -> int:
    """Print what came of it and return the exit code."""
    if done:
        size = path.stat().st_size / 1e6
        print(f"{printable(path)}: {done} of {wanted} images, {size:.1f} MB")
    else:
        print_error("smsr report", "no image could be used, no page was written")
    return 0 if done == wanted else FAILED


def _say_interrupted(path: Path, done: int, wanted: int) -> int:
    kept = f"{printable(path)} has {done} of {wanted} images" if done else "no page was written"
    print(f"smsr report: interrupted; {kept}", file=sys.stderr)
    return INTERRUPTED
