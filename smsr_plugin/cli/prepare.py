"""`smsr prepare`: LMDBs to train and validate on, from folders of HR images."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from smsr_plugin.cli.arguments import INTERRUPTED, bad_usage, path
from smsr_plugin.config import DIV2K_CROP_SIZE, DIV2K_STEP, UPSCALES

DESCRIPTION = """\
Make the LMDBs to train and validate on from folders of HR images.

Looks in ROOT for the official folders DIV2K_train_HR and DIV2K_valid_HR, and
for the LR images in DIV2K_{train,valid}_LR_bicubic/X{2,3,4}; LR that is not
there is made as MATLAB's bicubic makes it. Images of your own make data that
are called as their folder. Run again, it keeps what is complete and makes the
rest."""

EXAMPLE = """\
example:
  %(prog)s --root datasets/DIV2K --scales 2
  %(prog)s --root datasets/own --train-hr photos --valid-hr Set5/HR \\
    --crop-size 240 --step 120"""


def add_parser(subparsers: Any) -> None:
    """Add `smsr prepare`."""
    parser = subparsers.add_parser(
        "prepare",
        help="make training and validation data from HR images",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--root", type=path, default=Path("datasets/DIV2K"), help="data folder (%(default)s)")
    add("--train-hr", type=path, metavar="DIR", help="HR images to train on, if not DIV2K's")
    add("--valid-hr", type=path, metavar="DIR", help="HR images to validate on, if not DIV2K's")
    add("--name", help="of what is made (DIV2K, or that of the folder of HR images)")
    add("--recursive", action="store_true", help="also take the images of folders inside")
    add("--skip-small", action="store_true", help="leave out images smaller than --crop-size")
    add("--scales", type=int, nargs="+", choices=UPSCALES, default=UPSCALES, metavar="S",
        help="scales to make LR images for: some of 2 3 4 (all)")  # fmt: skip
    add("--crop-size", type=int, default=DIV2K_CROP_SIZE, metavar="PX",
        help="side of a training sub-image on HR (%(default)s)")  # fmt: skip
    add("--step", type=int, default=DIV2K_STEP, metavar="PX",
        help="from one sub-image to the next (%(default)s)")  # fmt: skip
    add("--thresh-size", type=int, default=0, metavar="PX",
        help="leave out a remainder up to this size (%(default)s)")  # fmt: skip
    add("--reduced", type=float, nargs="+", default=(), metavar="F",
        help="take training images also in copies reduced by these factors, e.g. 0.6 0.36: large "
        "photographs are smooth pixel by pixel")  # fmt: skip
    add("--folders", action="store_true", help="also write the sub-images as PNG files")
    add("--overwrite", action="store_true", help="make all anew, whatever is there")
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
        help="number of processes (%(default)s)")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prepare, print what was done and what to write into the option file.

    Returns:
        The exit code: 0, 2 on bad options or data, 130 when interrupted.
    """
    from smsr_plugin.data.entries import Grid
    from smsr_plugin.data.prepare import Request, prepare, report

    try:
        request = Request(
            root=args.root,
            scales=tuple(args.scales),
            train_hr=args.train_hr,
            valid_hr=args.valid_hr,
            grid=Grid(args.crop_size, args.step, args.thresh_size),
            reduced=tuple(args.reduced),
            folders=args.folders,
            workers=args.workers,
            overwrite=args.overwrite,
            name=args.name,
            skip_small=args.skip_small,
            recursive=args.recursive,
        )
        prepared = prepare(request)
    except (OSError, ValueError) as error:
        return bad_usage(args, error)
    except KeyboardInterrupt:
        print("smsr prepare: interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    for note in prepared.notes:
        print(f"smsr prepare: note: {note}", file=sys.stderr)
    print(report(prepared, overwritten=args.overwrite))
    return 0
