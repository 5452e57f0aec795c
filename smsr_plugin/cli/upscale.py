"""`smsr upscale`: image files in, larger image files out."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import (
    BAD_USAGE,
    FAILED,
    INTERRUPTED,
    bad_usage,
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
from smsr_plugin.names import printable

if TYPE_CHECKING:
    from smsr_plugin.processes import Processes
    from smsr_plugin.upscaling.batch import Batch, Outcome
    from smsr_plugin.upscaling.inputs import Job

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
DESCRIPTION = """\
Enlarge images with an SMSR network, skipping what needs no computation.
16 bits, grey, transparency, colour profile and EXIF are kept."""


def add_parser(subparsers: Any) -> None:
    """Add `smsr upscale`."""
    parser = subparsers.add_parser(
        "upscale",
        help="enlarge images",
        usage="%(prog)s INPUT... -o OUT [options]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.habits = HABITS
    add = parser.add_argument
    add("inputs", nargs="+", type=path_text, metavar="INPUT",
        help="image, folder, or pattern such as 'in/*.jpg'")  # fmt: skip
    add("-o", "--out", required=True, type=path, metavar="OUT",
        help="folder for the results, or the file for one")  # fmt: skip
    add("--weights", type=path, metavar="FILE",
        help="other weights than the package's (or set SMSR_WEIGHTS)")  # fmt: skip
    add("--model", metavar="NAME", help="network: smsr (default), rlfn-s for x2, rlfn for x4")
    add("--json", action="store_true", help="print a report for machines")
    _add_files(parser.add_argument_group("files").add_argument)
    _add_speed(parser.add_argument_group("quality and speed").add_argument)
    _add_size(parser.add_argument_group("large images").add_argument)
    parser.set_defaults(run=run)


def _add_files(add: Callable[..., Any]) -> None:
    add("--recursive", action="store_true", help="also take the folders inside folders")
    add("--skip-existing", action="store_true", help="leave out what is there already")
    add("--suffix", default="", metavar="TEXT", help="put after each name, such as _x2")
    formats = ("same", "png", "jpg", "webp", "tiff")
    add("--ext", default="same", type=_extension, choices=formats, metavar="EXT",
        help="png, jpg, webp, tiff, or same as the input (default)")  # fmt: skip
    add("--quality", type=percent, default=95, metavar="N", help="of jpg and webp (%(default)s)")
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
    add("--threshold", type=finite, default=0.0, metavar="T",
        help="for networks without densities: above 0 computes less")  # fmt: skip
    add("--precision", default="fp32", choices=("fp32", "bf16"))
    add("--threads", type=threads, metavar="N", help="(default: one for each core)")
    add("--dense", action="store_true", help="compute every pixel, in PyTorch: the oracle")


def _add_size(add: Callable[..., Any]) -> None:
    add("--tile", type=not_negative, metavar="PX",
        help="cut images into tiles of this side, 0 never; by default 512 for those of "
        "more than a megapixel: channel attention then pools over a tile, and the "
        "result differs slightly (docs/upscaling.md)")  # fmt: skip
    add("--tile-overlap", type=not_negative, default=32, metavar="PX", help="(%(default)s)")
    add("--max-pixels", type=positive, metavar="N",
        help="refuse larger inputs (89 million, or SMSR_MAX_PIXELS)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Upscale; return 0, 1 if some images failed, 2 on wrong usage, 130 when interrupted.

    Under torchrun each process takes its share of the images, and all return the same.
    """
    _silence_decoders()
    from smsr_plugin.processes import LostProcessError, joined

    with ExitStack() as stack:
        try:
            processes = stack.enter_context(joined())
        except (ValueError, LostProcessError) as error:
            return bad_usage(args, error)
        try:
            return _run(args, processes)
        except LostProcessError as error:
            text = f"{error}; start again with --skip-existing"
            if processes.is_first_to_say(text, consequence=True):
                print(f"smsr upscale: error: {text}", file=sys.stderr)
            return FAILED


def _run(args: argparse.Namespace, processes: Processes) -> int:
    from smsr_plugin.cli.upscale_report import report, summary
    from smsr_plugin.upscaling.batch import State, sweep
    from smsr_plugin.upscaling.inputs import Naming, plan

    try:
        naming = Naming(args.out, args.suffix, args.ext, args.masks)
        planned = plan(args.inputs, naming, args.recursive)
        batch = _batch(args)
    except (ValueError, OSError) as error:
        return bad_usage(args, error) if processes.is_first_to_say(str(error)) else BAD_USAGE
    jobs = _connect(processes, planned.jobs)
    if processes.rank == 0:
        sweep(jobs)
    outcomes: list[Outcome] = []
    interrupted, start = False, time.perf_counter()
    try:
        _work(batch, [jobs[i] for i in processes.share(len(jobs))], outcomes, args, processes)
    except KeyboardInterrupt:
        interrupted = True
    shares = processes.gather((interrupted, outcomes))
    interrupted = any(share[0] for share in shares)
    turns = zip_longest(*(share[1] for share in shares))  # in the order of the jobs
    outcomes = [outcome for outcome in chain.from_iterable(turns) if outcome is not None]
    if processes.rank == 0:
        for note in planned.notes:
            print(f"smsr upscale: note: {note}", file=sys.stderr)
        if args.json:
            print(json.dumps(report(outcomes, jobs), indent=2))
        else:
            print(summary(outcomes, time.perf_counter() - start))
        if interrupted:
            left = len(jobs) - len(outcomes)
            text = f"smsr upscale: interrupted, {left} left; --skip-existing goes on"
            print(text, file=sys.stderr)
        sys.stdout.flush()
    processes.agree()  # torchrun stops the others when one ends with an error
    if interrupted:
        return INTERRUPTED
    return FAILED if any(outcome.state is State.FAILED for outcome in outcomes) else 0


def _connect(processes: Processes, jobs: list[Job]) -> list[Job]:
    """Return the jobs as the first process sees them; none writes before all have looked."""
    if not processes.launched:
        return jobs
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # whole lines, from all of them
    processes.connect("gloo")
    return processes.gather(jobs)[0]


def _silence_decoders() -> None:
    """Keep what libraries say of a bad file off the terminal: one line of ours says it."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    for library in ("PIL", "tifffile"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _batch(args: argparse.Namespace) -> Batch:
    """Load the network. Raises ValueError if it cannot be used as asked."""
    from smsr_plugin.upscaling.batch import Batch
    from smsr_plugin.upscaling.enlarger import Enlarger
    from smsr_plugin.upscaling.loading import load_network

    network = load_network(
        args.weights,
        model=args.model,
        scale=args.scale,
        outscale=args.outscale,
        density=args.density,
        threshold=args.threshold,
        precision=args.precision,
        dense=args.dense,
        threads=args.threads,
        tile=args.tile,
        overlap=args.tile_overlap,
    )
    enlarger = Enlarger(network, args.outscale)
    return Batch(enlarger, args.skip_existing, args.max_pixels, args.quality)


def _work(
    batch: Batch,
    jobs: Sequence[Job],
    outcomes: list[Outcome],
    args: argparse.Namespace,
    processes: Processes,
) -> None:
    """Do the jobs, adding what became of each to `outcomes`, and tell about them on the way."""
    from tqdm import tqdm

    from smsr_plugin.cli.upscale_report import complaints, describe

    # None: a bar on a terminal only; that of the first process stands for all.
    hidden = None if processes.rank == 0 else True
    with tqdm(total=len(jobs), unit="image", disable=hidden, leave=False) as bar:

        def progress(source: Path, done: int, tiles: int) -> None:
            tile = f", tile {done + 1}/{tiles}" if tiles > 1 else ""
            bar.set_postfix_str(printable(source.name) + tile)

        for outcome in batch.run(jobs, progress):
            outcomes.append(outcome)
            bar.update()
            for line in complaints(outcome):
                tqdm.write(f"smsr upscale: {printable(line)}", file=sys.stderr)
            line = describe(outcome)
            if line and not args.json:
                tqdm.write(printable(line), file=sys.stdout)
    if processes.launched:  # from here on this process waits for others, which Ctrl-C stops too
        signal.signal(signal.SIGINT, signal.SIG_IGN)
