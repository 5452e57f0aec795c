"""`smsr report`: one HTML page that shows what SMSR computed for images."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import FAILED, bad_usage, path, positive, share, threads
from smsr_plugin.names import printable
from smsr_plugin.staging import replace_file

if TYPE_CHECKING:
    from smsr_plugin.report.cases import Source
    from smsr_plugin.report.measurements import Subject
    from smsr_plugin.report.section import Section

DEFAULT_OUT = Path("report.html")
SUFFIXES = (".html", ".htm")
RUNS = 3
#: lq pixels that a page shows of an image: at x2 the pictures to compare have four times as many.
CROP = 640 * 480

DESCRIPTION = """\
Write one HTML page on what SMSR computes for an image and what it skips:
bicubic interpolation against SMSR under a slider, the blocks' masks and times,
why flat regions can be skipped, quality against speed. The page holds all it
needs and loads nothing, so it can be mailed or archived."""

EPILOG = """\
examples:
  smsr report photo.png
  smsr report Set14/LR_bicubic/X2 --gt Set14/HR
  smsr report hr.png --from-gt --weights SMSR_X2.pt

A ground truth has the name of its lq image, with or without x2, x3 or x4 at
the end. Images that cannot be read are named and left out; the exit code is
then 1, and 2 for wrong usage."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to the subparsers of `smsr`; return its parser."""
    parser = subparsers.add_parser(
        "report",
        help="write an HTML page on what was computed for an image",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=26),
    )
    add = parser.add_argument
    add("input", nargs="+", type=path, metavar="INPUT", help="8-bit images, lq, or folders of them")
    add("--weights", type=path, metavar="FILE",
        help="other weights than the package's (or set SMSR_WEIGHTS)")  # fmt: skip
    add("-o", "--out", type=path, default=DEFAULT_OUT, metavar="HTML", help="default: %(default)s")
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--gt", type=path, metavar="PATH", help="ground truth: an image or a folder")
    truth.add_argument(
        "--from-gt", action="store_true", help="INPUT is the ground truth; make lq images of it"
    )
    add("--density", type=share, metavar="D", help="share of the pixels to compute, 0 to 1")
    add("--threshold", type=float, default=0.0, metavar="T", help="of the masks (default: 0)")
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="default: %(default)s")
    add("--threads", type=threads, metavar="N", help="default: as many as PyTorch takes")
    add(
        "--runs",
        type=positive,
        default=RUNS,
        metavar="N",
        help="timed runs (default: %(default)s)",
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
    """Run the command.

    Returns:
        0; 1 if some images could not be read, after a line on stderr for each; 2 after one line
        if nothing could be done. A page is written whole or not at all.
    """
    import torch

    from smsr_plugin.checkpoints import default_weights, load
    from smsr_plugin.images.files import left_out
    from smsr_plugin.report.cases import find_sources
    from smsr_plugin.report.measurements import Subject
    from smsr_plugin.report.page import Context, render

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        _check_output(args.out)
        sources = find_sources(args.input, args.gt, args.from_gt)
        weights = args.weights or default_weights()
        net = load(weights)
        if args.density is not None:
            net.set_density(args.density)
        subject = Subject(net, args.precision, args.threshold)
    except (ValueError, OSError) as error:
        return bad_usage(args, error)
    context = Context.of(subject, printable(weights.name), args.runs)
    try:
        sections = _sections(sources, subject, args)
        if sections:
            replace_file(args.out, render(sections, context).encode())
    except OSError as error:
        return bad_usage(args, error)
    for note in left_out(args.input):
        print(f"smsr report: note: {note}", file=sys.stderr)
    return _summarise(args.out, len(sections), len(sources))


def _sections(
    sources: Sequence[Source], subject: Subject, args: argparse.Namespace
) -> list[Section]:
    """Measure the images, one after the other, and name those that cannot be used."""
    from tqdm import tqdm

    from smsr_plugin.images.errors import ImageError
    from smsr_plugin.images.files import DataError
    from smsr_plugin.report.cases import load_case
    from smsr_plugin.report.measurements import measure, steps
    from smsr_plugin.report.section import make_section

    sections, upscale = [], subject.sparse.config.upscale
    with tqdm(total=len(sources) * steps(args.runs), unit="step", disable=None, leave=False) as bar:
        for source in sources:
            bar.set_postfix_str(printable(source.path.name))
            done = bar.n
            try:
                case = load_case(source, upscale, args.crop)
                measured = measure(subject, case, args.runs, bar.update)
            except (DataError, ImageError, OSError) as error:
                of_output = isinstance(error, ImageError)  # which does not name the image
                text = printable(f"{source.path}: {error}" if of_output else error)
                bar.write(f"smsr report: error: {text}", file=sys.stderr)
                bar.total -= done + steps(args.runs) - bar.n
                continue
            sections.append(make_section(measured))
    return sections


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
        print("smsr report: error: no image could be used, no page was written", file=sys.stderr)
    return 0 if done == wanted else FAILED
