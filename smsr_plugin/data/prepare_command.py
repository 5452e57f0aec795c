"""The command line of data preparation."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from smsr_plugin.config import UPSCALES
from smsr_plugin.data.entries import HR_SCALE
from smsr_plugin.data.outputs import Output, State
from smsr_plugin.data.prepare import DIV2K_GRID, Request, prepare
from smsr_plugin.data.sub_images import Grid

DESCRIPTION = """\
Make the LMDBs to train and validate on from folders of HR images.

Looks in ROOT for the official folders DIV2K_train_HR and DIV2K_valid_HR, and for the
LR images in DIV2K_{train,valid}_LR_bicubic/X{2,3,4}; LR that is not there is made as
MATLAB's bicubic makes it. Run again, it keeps what is complete and makes the rest."""

EXAMPLE = """\
example:
  %(prog)s --root datasets/DIV2K --scales 2
  %(prog)s --root datasets/own --train-hr photos --valid-hr Set5/HR --crop-size 240 --step 120"""

_DONE = {
    State.MISSING: "made",
    State.BROKEN: "made again, was incomplete",
    State.WHOLE: "kept",
    State.FOREIGN: "replaced",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = DESCRIPTION, EXAMPLE
    add = parser.add_argument
    add("--root", type=Path, default=Path("datasets/DIV2K"), help="data folder (%(default)s)")
    add("--train-hr", type=Path, metavar="DIR", help="HR images to train on, if not DIV2K's")
    add("--valid-hr", type=Path, metavar="DIR", help="HR images to validate on, if not DIV2K's")
    add("--scales", type=int, nargs="+", choices=UPSCALES, default=UPSCALES, metavar="S",
        help="scales to make LR images for: some of 2 3 4 (all)")  # fmt: skip
    add("--crop-size", type=int, default=DIV2K_GRID.crop_size, metavar="PX",
        help="side of a training sub-image on HR (%(default)s)")  # fmt: skip
    add("--step", type=int, default=DIV2K_GRID.step, metavar="PX",
        help="from one sub-image to the next (%(default)s)")  # fmt: skip
    add("--thresh-size", type=int, default=DIV2K_GRID.thresh_size, metavar="PX",
        help="leave out a remainder up to this size (%(default)s)")  # fmt: skip
    add("--folders", action="store_true", help="also write the sub-images as PNG files")
    add("--overwrite", action="store_true", help="make all anew, whatever is there")
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
        help="number of processes (%(default)s)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Prepare, print what was done and what to write into the option file.

    Returns:
        The exit code: 0, 2 on bad options or data, 130 when interrupted.
    """
    try:
        request = Request(
            root=args.root,
            scales=tuple(args.scales),
            train_hr=args.train_hr,
            valid_hr=args.valid_hr,
            grid=Grid(args.crop_size, args.step, args.thresh_size),
            folders=args.folders,
            workers=args.workers,
            overwrite=args.overwrite,
        )
        results = prepare(request)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    print(report(results, overwritten=args.overwrite))
    return 0


def report(results: Sequence[tuple[Output, State]], *, overwritten: bool = False) -> str:
    """Format what was made and kept, and the option lines that use it."""
    lines: list[str] = []
    for output, state in results:
        done = _DONE[State.FOREIGN if overwritten and state is not State.MISSING else state]
        lines.append(f"{output.path}: {len(output.shapes)} images, {done}")
    outputs = [output for output, _ in results]
    for scale in sorted({output.scale for output in outputs} - {HR_SCALE}):
        lines += ["", f"For scale {scale}, in the option file:", "datasets:"]
        for split, name in (("train", "train"), ("valid", "val")):
            if any(output.split == split for output in outputs):
                lines += [f"  {name}:", *_option_lines(outputs, split, scale)]
    return "\n".join(lines)


def _option_lines(outputs: Sequence[Output], split: str, scale: int) -> list[str]:
    roots = {o.scale: o.path for o in outputs if o.split == split and o.is_lmdb}
    return [
        f"    dataroot_gt: {_yaml_path(roots[HR_SCALE])}",
        f"    dataroot_lq: {_yaml_path(roots[scale])}",
        "    io_backend:",
        "      type: lmdb",
    ]


def _yaml_path(path: Path) -> str:
    text = path.as_posix()
    # A JSON string is a YAML string.
    return text if re.fullmatch(r"[\w/][\w/. -]*\b", text) else json.dumps(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(argv))
