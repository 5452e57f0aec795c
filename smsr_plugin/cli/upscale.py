"""`smsr upscale`: files in, larger files out."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import BAD_USAGE, FAILED, INTERRUPTED, bad_usage
from smsr_plugin.cli.upscale_options import HABITS, add_options
from smsr_plugin.names import printable

if TYPE_CHECKING:
    from smsr_plugin.processes import Processes
    from smsr_plugin.upscaling.batch import Batch, Outcome
    from smsr_plugin.upscaling.inputs import Job

DESCRIPTION = """\
Enlarge images or a video, skipping what needs no computation. Depth, opacity,
colour profile and EXIF are kept; of a video sound, dates and colours."""


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
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Upscale; return 0, 1 if some images failed, 2 on wrong usage, 130 when interrupted.

    Under torchrun each process takes its share of the images, and all return the same.
    """
    _silence_decoders()
    from smsr_plugin.processes import LostProcessError, joined
    from smsr_plugin.upscaling.video.names import names_a_video

    if any(map(names_a_video, args.inputs)):
        from smsr_plugin.cli import upscale_video

        return upscale_video.run(args)

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
        if batch.enlarger.network.dial is not None:
            print(f"smsr upscale: {batch.enlarger.network.dial}", file=sys.stderr)
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
    from smsr_plugin.cli.upscale_network import load_enlarger
    from smsr_plugin.upscaling.batch import Batch

    return Batch(load_enlarger(args), args.skip_existing, args.max_pixels, args.quality)


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
    with ExitStack() as stack:
        options = {"unit": "image", "disable": hidden, "leave": False}
        bar = stack.enter_context(tqdm(total=len(jobs), **options))

        def progress(source: Path, done: int, tiles: int) -> None:
            tile = f", tile {done + 1}/{tiles}" if tiles > 1 else ""
            bar.set_postfix_str(printable(source.name) + tile)

        # Closed here and now when interrupted: then all that was begun is written.
        for outcome in stack.enter_context(closing(batch.run(jobs, progress, outcomes))):
            bar.update()
            for line in complaints(outcome):
                tqdm.write(f"smsr upscale: {printable(line)}", file=sys.stderr)
            line = describe(outcome)
            if line and not args.json:
                tqdm.write(printable(line), file=sys.stdout)
    if processes.launched:  # from here on this process waits for others, which Ctrl-C stops too
        signal.signal(signal.SIGINT, signal.SIG_IGN)
