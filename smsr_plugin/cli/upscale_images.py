"""`smsr upscale` of images: file after file, and what it tells of them to people and machines."""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, TextIO

from smsr_plugin.cli.arguments import BAD_USAGE, FAILED, INTERRUPTED, bad_usage
from smsr_plugin.cli.terminal import print_error
from smsr_plugin.cli.upscale_network import load_enlarger
from smsr_plugin.names import listed, printable
from smsr_plugin.processes import LostProcessError, Processes, joined
from smsr_plugin.upscaling.batch import Batch, Outcome, State, sweep
from smsr_plugin.upscaling.inputs import Job, Naming, plan

#: The summary names so many failed images, and how many more there are.
MOST_NAMES = 8


def run(args: argparse.Namespace) -> int:
    """Upscale; return 0, 1 if some images failed, 2 on wrong usage, 130 when interrupted.

    Under torchrun each process takes its share of the images, and all return the same.
    """
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
                print_error("smsr upscale", text)
            return FAILED


def _run(args: argparse.Namespace, processes: Processes) -> int:
    try:
        naming = Naming(args.out, args.suffix, args.ext, args.masks)
        planned = plan(args.inputs, naming, args.recursive)
        batch = Batch(load_enlarger(args), args.skip_existing, args.max_pixels, args.quality)
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


def _work(
    batch: Batch,
    jobs: Sequence[Job],
    outcomes: list[Outcome],
    args: argparse.Namespace,
    processes: Processes,
) -> None:
    """Do the jobs, adding what became of each to `outcomes`, and tell about them on the way."""
    with ExitStack() as stack:
        # On a terminal only; that of the first process stands for all.
        bar, say = None, _say
        if processes.rank == 0 and sys.stderr.isatty():
            from tqdm import tqdm  # its import takes as long as a small image

            bar = stack.enter_context(tqdm(total=len(jobs), unit="image", leave=False))
            say = tqdm.write

        def progress(source: Path, done: int, tiles: int) -> None:
            tile = f", tile {done + 1}/{tiles}" if tiles > 1 else ""
            if bar is not None:
                bar.set_postfix_str(printable(source.name) + tile)

        # Closed here and now when interrupted: then all that was begun is written.
        for outcome in stack.enter_context(closing(batch.run(jobs, progress, outcomes))):
            if bar is not None:
                bar.update()
            for line in complaints(outcome):
                say(f"smsr upscale: {printable(line)}", file=sys.stderr)
            line = describe(outcome)
            if line and not args.json:
                say(printable(line), file=sys.stdout)
    if processes.launched:  # from here on this process waits for others, which Ctrl-C stops too
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _say(line: str, file: TextIO) -> None:
    print(line, file=file)


def describe(outcome: Outcome) -> str | None:
    """Return one line on an image that did not fail; who prints it makes its names printable."""
    job = outcome.job
    if outcome.state is State.SKIPPED:
        return f"{job.source}: skipped, {job.target} is there"
    if outcome.lq_size is None or outcome.size is None:
        return None
    sizes = " → ".join(f"{width}×{height}" for width, height in (outcome.lq_size, outcome.size))
    tiles = f", {outcome.tiles} tiles" if outcome.tiles != 1 else ""
    figures = f"density {outcome.density:.2f}, {outcome.seconds:.2f} s"
    return f"{job.source} → {job.target}  {sizes}{tiles}, {figures}"


def complaints(outcome: Outcome) -> Iterator[str]:
    """Yield a line for each thing that went wrong or was changed; see `describe`."""
    for note in outcome.notes:
        yield f"note: {outcome.job.source}: {note}"
    if outcome.state is State.FAILED:
        yield f"error: {outcome.job.source}: {outcome.error}"


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """Return how many images were done, skipped and failed in so long, and the failed by name."""
    counts = _counts(outcomes)
    text = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [f"{text or 'nothing done'} in {seconds:.1f} s"]
    failed = [printable(o.job.source) for o in outcomes if o.state is State.FAILED]
    if failed:
        lines.append(f"failed: {listed(failed, MOST_NAMES)}")
    return "\n".join(lines)


def report(outcomes: Sequence[Outcome], jobs: Sequence[Job]) -> dict[str, Any]:
    """Return what became of the images as plain values, fit for JSON.

    Sizes are width and height in pixels; what does not apply to an image is null.
    """
    images = []
    for outcome in outcomes:
        entry = asdict(outcome)
        job = entry.pop("job")
        paths = {key: None if path is None else str(path) for key, path in job.items()}
        images.append({**paths, **entry, "state": outcome.state.value})
    return {"images": images, **_counts(outcomes), "left": len(jobs) - len(outcomes)}


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    found = Counter(outcome.state for outcome in outcomes)
    return {state.value: found[state] for state in State}
