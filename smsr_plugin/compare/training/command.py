"""The command that measures training: read arguments, measure, write the results, print them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from smsr_plugin.compare.crops import Case
from smsr_plugin.compare.engines.command import (
    BAD_INPUT,
    INTERRUPTED,
    JSON,
    REPORT,
    begin,
    positive,
)
from smsr_plugin.compare.engines.export import Exporter
from smsr_plugin.compare.engines.measure import Bench, measure_case
from smsr_plugin.compare.engines.runner import Schedule
from smsr_plugin.compare.engines.spec import EngineSpec, Sources, select
from smsr_plugin.compare.training.engine import CHANNELS_LAST
from smsr_plugin.compare.training.report import training_markdown
from smsr_plugin.complexity import SMSRCost
from smsr_plugin.config import SMSRConfig

#: Images of a batch and the side of an lq image; iterations of a turn are long, so few are untimed.
BATCH, SIDE, SCHEDULE = 16, 48, Schedule(rounds=12, warm_up=1)


def variants(threads: int) -> list[EngineSpec]:
    """Return the ways to train that are compared, at most `threads` threads each."""
    module = "smsr_plugin.compare.training.engine"
    layouts = {"": "contiguous", CHANNELS_LAST: "channels-last, the default"}
    specs = [EngineSpec("naive", "naive", "the formulas, literally", module, threads)]
    for precision in ("fp32", "bf16"):
        for layout, title in layouts.items():
            name = "-".join(filter(None, ["ours", precision, layout]))
            spec = EngineSpec(name, "smsr", title, module, threads, precision, backend=layout)
            specs.append(spec)
    return specs


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 2 with a line on stderr if it cannot be done, 130 if stopped."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        specs = select(variants(args.threads), args.variants)
        args.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return BAD_INPUT
    schedule = Schedule(**{**asdict(SCHEDULE), "rounds": args.rounds})
    results = begin([parser.prog, *arguments], args.threads, schedule)
    shape = (args.batch, 3, args.side, args.side)
    case = Case("noise", np.random.default_rng(0).random(shape, dtype=np.float32))
    # Neither is asked for anything: the networks have random weights.
    sources, cost = Sources(Path()), SMSRCost(SMSRConfig())
    try:
        with (
            tempfile.TemporaryDirectory(prefix="smsr_training_") as folder,
            tqdm(total=len(specs) * schedule.rounds, unit="turn") as bar,
        ):

            def progress(doing: str, turns: int) -> None:
                bar.set_postfix_str(doing, refresh=not turns)
                bar.update(turns)

            bench = Bench(sources, Exporter(Path(folder), sources), schedule, cost, progress)
            results.cases.append(measure_case(case, specs, bench))
    except KeyboardInterrupt:
        return INTERRUPTED
    report = training_markdown(results, args.batch)
    (args.out / JSON).write_text(results.to_json() + "\n", encoding="utf-8")
    (args.out / REPORT).write_text(report, encoding="utf-8")
    print(report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="training_speed.py",
        description="Measure seconds and memory of training iterations (forward, loss, backward, "
        "Adam) of the x2 network of the paper's size on the CPU, against a forward that takes the "
        f"formulas literally. Writes {JSON} and {REPORT}; prints the report.",
    )
    add = parser.add_argument
    add(
        "--variants",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names or patterns such as 'ours-fp32*' (default: all; a wrong name lists them)",
    )
    add("--batch", type=positive, default=BATCH, help="images (default: %(default)s)")
    add("--side", type=_even, default=SIDE, help="of an lq image, pixels (default: %(default)s)")
    add("--threads", type=positive, default=torch.get_num_threads(), help="default: %(default)s")
    add("--rounds", type=positive, default=SCHEDULE.rounds, help="turns (default: %(default)s)")
    add("--out", type=Path, default=Path("training_speed"), metavar="DIR", help="%(default)s")
    return parser


def _even(text: str) -> int:
    value = positive(text)
    if value % 2:
        raise argparse.ArgumentTypeError(f"must be even, got {value}")
    return value
