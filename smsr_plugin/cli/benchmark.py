"""`smsr benchmark`: networks compared over folders of HR images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import FAILED, INTERRUPTED, bad_usage, not_negative, positive
from smsr_plugin.compare.engines.spec import LIBRARIES

if TYPE_CHECKING:
    from smsr_plugin.compare.run import Plan, Run

DESCRIPTION = """\
Compare networks over folders of HR images: PSNR and SSIM on Y, parameters,
multiply-adds, activations, time, memory. Writes tables (Markdown, CSV, JSON)
and plots. A run that was stopped goes on when it is started again.

A NETWORK is
  FILE            an SMSR checkpoint, or any other that spandrel recognises
  NAME=FILE       weights of a network in BasicSR's registry: PAN=pan_x2.pth
  NAME            the same with fresh weights, for cost and time alone: CARN
  FILE.yml        network_g of an option file, with its pretrain_network_g
each followed by ,KEY=VALUE...: options of the network (img_range=255) and
  precision=bf16  engine=NAME  label=TEXT  param_key=KEY
  form=masked     an SMSR that computes every pixel and masks afterwards
  form=twin       an SMSR that computes every pixel and has no masks
  threshold=T     of a sparse SMSR: above 0 faster, below 0 better"""


def add_parser(subparsers: Any) -> None:
    """Add `smsr benchmark`."""
    parser = subparsers.add_parser(
        "benchmark",
        help="compare networks over folders of HR images",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("networks", nargs="+", metavar="NETWORK", help="see above")
    add("--images", nargs="+", required=True, type=Path, metavar="DIR",
        help="HR folders; Set5/HR is called Set5")  # fmt: skip
    add("--scale", type=positive, default=2, metavar="S", help="of all networks (default: 2)")
    add("--engine", choices=LIBRARIES, default="pytorch", metavar="NAME",
        help=f"runs dense networks: {', '.join(LIBRARIES)}")  # fmt: skip
    add("--threads", type=positive, metavar="N", help="of each engine (default: PyTorch's)")
    add("--rounds", type=not_negative, default=5, metavar="N",
        help="timed runs on an image (default: 5; 0: quality alone)")  # fmt: skip
    add("--out", type=Path, default=Path("benchmark_networks"), metavar="DIR",
        help="where results go (default: %(default)s)")  # fmt: skip
    add("--json", action="store_true", help="print the results as JSON, not as tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare; return 0, 1 if something failed, 2 after one line on stderr, 130 if stopped."""
    import torch

    from smsr_plugin.compare import outputs
    from smsr_plugin.compare.report import failure_texts, quality_table, run_table
    from smsr_plugin.compare.run import Run

    try:
        plan = _plan(args, args.threads or torch.get_num_threads())
        args.out.mkdir(parents=True, exist_ok=True)
        comparing = Run(plan, args.out)
    except (ValueError, OSError) as error:
        return bad_usage(args, error)
    try:
        _measure(comparing)
        result = comparing.result()
        without_plots = outputs.write(result, args.out)
    except KeyboardInterrupt:
        print("smsr benchmark: interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:  # a full disk, a folder that is gone
        print(f"smsr benchmark: error: {error}; the same command goes on", file=sys.stderr)
        return FAILED
    for line in filter(None, (without_plots, *failure_texts(result)[1:])):
        print(line, file=sys.stderr)
    print(result.to_json() if args.json else f"{quality_table(result)}\n\n{run_table(result)}")
    return FAILED if any(network.failures for network in result.networks) else 0


def _measure(comparing: Run) -> None:
    """Make the measurements that are missing, with a progress bar."""
    from tqdm import tqdm

    total = len(comparing.plan.networks) * len(comparing.plan.images)
    with tqdm(total=total, initial=total - comparing.pending, unit="run") as bar:

        def progress(doing: str, done: int) -> None:
            bar.set_postfix_str(doing, refresh=not done)
            bar.update(done)

        comparing.measure(progress)


def _plan(args: argparse.Namespace, threads: int) -> Plan:
    """Find the images and the networks; raise ValueError or OSError if that cannot be."""
    from smsr_plugin.compare.engines.runner import Schedule
    from smsr_plugin.compare.networks.argument import parse_network
    from smsr_plugin.compare.networks.resolve import resolve
    from smsr_plugin.compare.run import Plan, without_folders
    from smsr_plugin.compare.sets import list_sets

    networks = [parse_network(text) for text in args.networks]
    images = list_sets(args.images)
    schedule = Schedule(rounds=args.rounds) if args.rounds else Schedule(0, 0, 0, 0)
    command = ["smsr", *map(without_folders, args.argv)]
    found = resolve(networks, args.scale, args.engine, threads)
    return Plan(found, images, args.scale, schedule, threads, command)
