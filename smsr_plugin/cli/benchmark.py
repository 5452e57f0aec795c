"""`smsr benchmark`: networks and engines compared with each other."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import (
    FAILED,
    INTERRUPTED,
    add_imports,
    bad_usage,
    not_negative,
    path,
    path_text,
    positive,
    threads,
    told,
)
from smsr_plugin.cli.terminal import print_error, print_tables
from smsr_plugin.engines.spec import LIBRARIES

if TYPE_CHECKING:
    from smsr_plugin.compare.results import Comparison
    from smsr_plugin.compare.run import Plan, Run

DESCRIPTION = """\
Compare networks: PSNR and SSIM, parameters, multiply-adds, activations, time,
memory; tables (Markdown, CSV, JSON), plots. The same command resumes a run.

A NETWORK is
  FILE            an SMSR checkpoint, or any other that spandrel recognises
  NAME=FILE       weights of a network in BasicSR's registry: PAN=pan_x2.pth
  NAME            the same with fresh weights, for cost and time alone: CARN
  FILE.yml        network_g of an option file, with its pretrain_network_g
each followed by ,KEY=VALUE...: options of the network (img_range=255) and
  precision=bf16  engine=NAME  threads=N  label=TEXT  param_key=KEY
  form=masked|twin         an SMSR that computes every pixel, and masks
                           afterwards or has no masks
  threshold=T  isa=avx2  backend=reference  precision=int8   of a sparse SMSR
  density=D                of an SMSR that keeps the curves for it: 0 to 1
PRESET is engines (NETWORK in every engine), density (time against density),
frontier (quality against time: networks with masks over their dial, others in
OpenVINO) or training (no NETWORK: iterations against literal formulas)."""


def add_parser(subparsers: Any) -> None:
    """Add `smsr benchmark`."""
    parser = subparsers.add_parser(
        "benchmark",
        help="compare networks and engines",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="smsr benchmark [NETWORK ...] [--images DIR ...] [--preset PRESET] [...]",
    )
    add = parser.add_argument
    add("networks", nargs="*", metavar="NETWORK", help=argparse.SUPPRESS)
    add("--images", nargs="+", type=path_text, default=[], metavar="DIR",
        help="HR folders, lq files, crops: rocket china flower small")  # fmt: skip
    add(
        "--preset",
        choices=["engines", "density", "frontier", "training"],
        metavar="PRESET",
        help="see above",
    )
    add("--engines", nargs="+", default=[], metavar="NAME", help="of a preset: 'ours*' ncnn")
    add("--scale", type=positive, default=2, metavar="S", help="of all networks (default: 2)")
    add("--engine", choices=LIBRARIES, default="pytorch", metavar="NAME",
        help=f"runs dense networks: {', '.join(LIBRARIES)}")  # fmt: skip
    add("--threads", type=threads, metavar="N", help="of each engine (default: PyTorch's)")
    add("--rounds", type=not_negative, metavar="N",
        help="timed runs on an image (default: 5; 0: quality alone)")  # fmt: skip
    add("--out", type=path, default=Path("benchmark"), metavar="DIR",
        help="where results go (default: %(default)s)")  # fmt: skip
    add("--redraw", action="store_true", help="measure nothing: tables and plots of OUT anew")
    add("--paper", nargs="+", type=path, default=[], metavar="DIR",
        help="measure nothing: results in DIR as a paper's table")  # fmt: skip
    add("--ntire", action="store_true", help="also NTIRE's table, for lq images of 256x256")
    add("--metric", action="append", choices=["lpips", "dists"], default=[], metavar="NAME",
        dest="metrics", help="also lpips or dists; may be given twice")  # fmt: skip
    add("--json", action="store_true", help="print the results as JSON, not as tables")
    add_imports(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare; return 0, 1 if something failed, 2 after one line on stderr, 130 if stopped."""
    from smsr_plugin.compare import outputs
    from smsr_plugin.compare.results import Comparison
    from smsr_plugin.compare.run import Run

    try:
        if args.paper:
            return _paper(args)
        if args.redraw:
            return _finish(args, Comparison.from_json((args.out / outputs.JSON).read_text("utf-8")))
        plan = _plan(args)
        args.out.mkdir(parents=True, exist_ok=True)
        comparing = Run(plan, args.out)
    except (ValueError, OSError) as error:
        return bad_usage(args, error)
    try:
        _measure(comparing)
        return _finish(args, comparing.result())
    except KeyboardInterrupt:
        print("smsr benchmark: interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:  # a full disk, a folder that is gone
        print_error("smsr benchmark", f"{told(error)}; the same command goes on")
        return FAILED


def _paper(args: argparse.Namespace) -> int:
    """Write and print one table of several results; ValueError if they are none."""
    from smsr_plugin.compare.outputs import JSON
    from smsr_plugin.compare.paper import paper_latex, paper_markdown
    from smsr_plugin.compare.results import Comparison
    from smsr_plugin.staging import replace_file

    found = [Comparison.from_json((path / JSON).read_text("utf-8")) for path in args.paper]
    args.out.mkdir(parents=True, exist_ok=True)
    shown = paper_markdown(found)
    replace_file(args.out / "paper.md", shown.encode())
    replace_file(args.out / "paper.tex", paper_latex(found).encode())
    print_tables(shown.rstrip("\n"))
    return 0


def _finish(args: argparse.Namespace, result: Comparison) -> int:
    """Write and print the results; return the exit code."""
    from smsr_plugin.compare import outputs
    from smsr_plugin.compare.markdown import doubts, failure_texts, printed
    from smsr_plugin.images.files import left_out

    without_plots = outputs.write(result, args.out)
    notes = (f"note: {note}" for note in left_out(map(Path, args.images)))
    for line in filter(None, (without_plots, *doubts(result), *failure_texts(result)[1:], *notes)):
        print(line, file=sys.stderr)
    if args.json:
        print(result.to_json())
    else:
        print_tables(printed(result))
    return FAILED if any(network.failures for network in result.networks) else 0


def _measure(comparing: Run) -> None:
    """Make the measurements that are missing, with a progress bar."""
    from tqdm import tqdm

    done = comparing.total - comparing.pending
    # None: on a terminal
    with tqdm(total=comparing.total, initial=done, unit="run", disable=None) as bar:

        def progress(doing: str, done: int) -> None:
            bar.set_postfix_str(doing, refresh=not done)
            bar.update(done)

        comparing.measure(progress)


def _plan(args: argparse.Namespace) -> Plan:
    import torch

    from smsr_plugin.compare.run import make_plan, without_folders

    return make_plan(
        args.networks,
        args.images,
        ["smsr", *map(without_folders, args.argv)],
        args.threads or torch.get_num_threads(),
        scale=args.scale,
        engine=args.engine,
        rounds=args.rounds,
        preset=args.preset or "",
        engines=args.engines,
        ntire=args.ntire,
        metrics=list(dict.fromkeys(args.metrics)),
    )
