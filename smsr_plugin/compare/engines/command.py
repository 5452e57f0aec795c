"""The command: read arguments, measure, write the results, print them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import torch
from tqdm import tqdm

from smsr_plugin.checkpoints import load
from smsr_plugin.compare.crops import CROPS, Case, load_case
from smsr_plugin.compare.engines.export import Exporter
from smsr_plugin.compare.engines.measure import Bench, measure_case
from smsr_plugin.compare.engines.plot import draw
from smsr_plugin.compare.engines.report import markdown
from smsr_plugin.compare.engines.results import Results
from smsr_plugin.compare.engines.runner import Schedule
from smsr_plugin.compare.engines.spec import EngineSpec, Sources, catalogue, select
from smsr_plugin.compare.networks.forms import load_rlfn
from smsr_plugin.compare.sweep import measure_sweep, sweep_turns
from smsr_plugin.complexity import SMSRCost, dense_channels
from smsr_plugin.machine import describe

QUICK_IMAGES, QUICK_SCHEDULE = ["small"], Schedule(rounds=3, warm_up=1)
#: What is written into the folder of results.
JSON, REPORT, PLOT = "results.json", "results.md", "density.png"
#: Exit codes: the command line or a file is at fault; interrupted from the keyboard.
BAD_INPUT, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 2 after one line on stderr if it cannot be done, 130 if stopped.

    What was measured before an interruption is written and printed.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        sources = Sources(args.weights, args.rlfn)
        net = load(args.weights)
        if args.rlfn is not None:
            load_rlfn(sources)  # a wrong file should not wait for its turn to be told
        specs = select(catalogue(args.threads, args.rlfn is not None), args.engines)
        images = args.images or (QUICK_IMAGES if args.quick else list(CROPS))
        cases = [load_case(name) for name in images]
        args.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return BAD_INPUT
    torch.set_num_threads(args.threads)
    schedule = _schedule(args)
    results = begin([parser.prog, *arguments], args.threads, schedule)
    turns = len(cases) * len(specs) + (sweep_turns(specs) if args.density else 0)
    with (
        tempfile.TemporaryDirectory(prefix="smsr_benchmark_") as folder,
        tqdm(total=turns * schedule.rounds, unit="turn") as bar,
    ):

        def progress(doing: str, turns: int) -> None:
            bar.set_postfix_str(doing, refresh=not turns)
            bar.update(turns)

        cost = SMSRCost(net.config, dense_channels(net))
        bench = Bench(sources, Exporter(Path(folder), sources), schedule, cost, progress)
        interrupted = _measure(results, cases, specs, bench, args)
    print(_write(results, args.out))
    return INTERRUPTED if interrupted else 0


def begin(command: Sequence[str], threads: int, schedule: Schedule) -> Results:
    """Return the results of a command that starts now, with nothing measured yet."""
    return Results(
        datetime.now(timezone.utc).isoformat(timespec="seconds"),
        [*map(without_folder, command)],
        threads,
        asdict(schedule),
        describe(),
    )


def _measure(
    results: Results,
    cases: Sequence[Case],
    specs: Sequence[EngineSpec],
    bench: Bench,
    args: argparse.Namespace,
) -> bool:
    """Fill in the results, writing them after each case; return whether it was interrupted."""
    try:
        for case in cases:
            results.cases.append(measure_case(case, specs, bench))
            _write(results, args.out)
        if args.density:
            results.sweep = measure_sweep(cases[0], specs, bench)
    except KeyboardInterrupt:
        return True
    return False


def _write(results: Results, folder: Path) -> str:
    """Write all files and return the report."""
    (folder / JSON).write_text(results.to_json() + "\n", encoding="utf-8")
    plot = None
    if results.sweep is not None:
        try:
            draw(results.sweep, folder / PLOT)
            plot = PLOT
        except ImportError as error:
            print(f"no plot: {error}", file=sys.stderr)
    report = markdown(results, plot)
    (folder / REPORT).write_text(report, encoding="utf-8")
    return report


def _schedule(args: argparse.Namespace) -> Schedule:
    base = QUICK_SCHEDULE if args.quick else Schedule()
    chosen = {"rounds": args.rounds, "timed": args.runs}
    return Schedule(**{**asdict(base), **{k: v for k, v in chosen.items() if v is not None}})


def without_folder(argument: str) -> str:
    """Return an argument fit for publication: of a path only the name."""
    return Path(argument).name if "/" in argument else argument


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmark.py",
        description="Measure sparse SMSR inference against dense engines on the CPU. Writes "
        f"{JSON}, {REPORT} and {PLOT}; prints the report.",
    )
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="FILE", help="SMSR checkpoint")
    add("--rlfn", type=Path, metavar="FILE", help="published RLFN weights, to compare with")
    add(
        "--images",
        nargs="+",
        default=None,
        metavar="IMAGE",
        help=f"{', '.join(CROPS)} (default: all), or image files, taken as lq",
    )
    add(
        "--engines",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names or patterns such as 'ours*' (default: all; a wrong name lists them)",
    )
    add("--threads", type=positive, default=torch.get_num_threads(), help="default: %(default)s")
    rounds = f"default: {Schedule.rounds}, with --quick {QUICK_SCHEDULE.rounds}"
    add("--rounds", type=positive, help=f"turns of each engine ({rounds})")
    add("--runs", type=positive, help=f"timed runs of a turn (default: {Schedule.timed})")
    add("--density", action="store_true", help="also time against density, on the first image")
    add("--quick", action="store_true", help=f"few rounds, on {QUICK_IMAGES[0]!r} by default")
    add("--out", type=Path, default=Path("benchmark_results"), metavar="DIR", help="%(default)s")
    return parser


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
