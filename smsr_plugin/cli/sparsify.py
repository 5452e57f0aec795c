"""`smsr sparsify`: from a dense network to one that computes where it matters."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from smsr_plugin.cli.arguments import bad_usage, not_negative, path, positive, share
from smsr_plugin.cli.terminal import print_tables
from smsr_plugin.names import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from smsr_plugin.archs.tile_masked import TileMasked
    from smsr_plugin.sparsify.curve import Point
    from smsr_plugin.sparsify.photographs import Photographs
    from smsr_plugin.sparsify.state import State

DESCRIPTION = """\
Give a pretrained network masks: from a dense checkpoint to a network that
computes, tile by tile, where it matters, with a dial for how much. A folder of
any photographs is enough; no ground truth is needed. Without --iters nothing is
trained but a small predictor: about two minutes on two cores."""

EPILOG = """\
example:
  smsr sparsify RLFN-S=rlfn_s_x2.pth,img_range=255 --data photos \\
    -o masked.safetensors

Interrupted, the same command goes on where it stopped.

Some of the photographs are kept aside; on them the curve of quality against
density is measured. It is printed, and written beside the weights (masked.md)."""

DENSITY = 0.7

#: Seconds from one line to the next.
EVERY = 60.0


def add_parser(subparsers: Any) -> None:
    """Add `smsr sparsify`."""
    parser = subparsers.add_parser(
        "sparsify",
        help="give a pretrained network masks",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=26),
    )
    add = parser.add_argument
    add("network", metavar="NAME=FILE", help="network and weights, as in smsr benchmark")
    add("-o", "--out", type=path, required=True, metavar="FILE", help="*.safetensors to write")
    add("--data", type=path, required=True, metavar="DIR", help="folder of photographs")
    add("--scale", type=positive, default=2, metavar="S", help="of the network (%(default)s)")
    add("--density", type=share, default=DENSITY, metavar="D",
        help="share of the pixels to compute where none is asked for (%(default)s)")  # fmt: skip
    add("--iters", type=not_negative, default=0, metavar="N",
        help="steps of fine-tuning, about 3 a second on two cores (%(default)s)")  # fmt: skip
    add("--seed", type=not_negative, default=0, metavar="N", help="of what is drawn (%(default)s)")
    add("--threads", type=positive, metavar="N", help="default: as many as PyTorch takes")
    add("--force", action="store_true", help="replace FILE if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, measure, save; return 0, or 2 after one line on stderr if it cannot be done."""
    import torch

    from smsr_plugin.checkpoints.files import SUFFIX
    from smsr_plugin.checkpoints.masked_networks import save
    from smsr_plugin.networks.find import find_source, parse_network
    from smsr_plugin.sparsify import run as work
    from smsr_plugin.sparsify.photographs import PIECES, read_photographs
    from smsr_plugin.sparsify.state import State
    from smsr_plugin.staging import replace_file

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        if args.out.suffix != SUFFIX:
            raise ValueError(f"{args.out} must end in {SUFFIX}")
        if args.out.exists() and not args.force:
            raise ValueError(f"{args.out} exists; --force replaces it")
        source = find_source(parse_network(args.network), args.scale)
        dense = source.load()
        net = work.masked_form(dense, args.iters, args.seed)
        pieces = PIECES * (work.MORE_PIECES if args.iters else 1)
        photographs = read_photographs(args.data, source.upscale, args.seed, pieces)
        work.check_dense(dense, photographs, source.upscale)
        facts = work.facts(dense, photographs, args.iters, args.seed)
        state = State(args.out, facts) if args.iters else None
        points = _fit(net, photographs, args, state)
        net.set_density(args.density)
        save(net, args.out, {"source": args.network})
        card = work.card(args.out.name, args.network, args.iters, net, points)
        replace_file(args.out.with_suffix(".md"), card.encode())
        if state is not None:
            state.remove()
    except (ValueError, OSError) as error:
        return bad_usage(args, error)
    print_tables(card)
    print(f"wrote {printable(args.out)} and {printable(args.out.with_suffix('.md'))}")
    return 0


def _fit(
    net: TileMasked, photographs: Photographs, args: argparse.Namespace, state: State | None
) -> Sequence[Point]:
    """Fit and measure, and tell how far it is."""
    from smsr_plugin.cli.sparsify import Progress
    from smsr_plugin.sparsify import run as work
    from smsr_plugin.sparsify.curve import ASKED, measure

    points = []
    fit = work.Fit(net, photographs.pieces, args.iters, args.seed, state)
    if fit.done:
        print(f"smsr sparsify: goes on at step {fit.done:,} of {fit.total:,}", file=sys.stderr)
    with Progress(fit.total + len(ASKED), fit.done) as progress:
        for doing in fit.run():
            progress.step(doing)
        for point in measure(net, photographs.judged):
            points.append(point)
            progress.step("quality against density")
    return points


class Progress:
    """Counts the steps of the command on stderr: a bar on a terminal, else a line a minute.

    Args:
        total: Steps.
        done: How many of them an interrupted run has taken.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        from tqdm import tqdm

        self.total, self.done = total, done
        # None: on a terminal only.
        self.bar = tqdm(
            total=total, initial=done, unit="step", file=sys.stderr, disable=None, leave=False
        )
        self._told, self._at = done, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def step(self, doing: str) -> None:
        """Count a step of something."""
        self.done += 1
        self.bar.set_postfix_str(doing, refresh=False)
        self.bar.update()
        elapsed = time.monotonic() - self._at
        if not self.bar.disable or elapsed < EVERY:
            return
        left = (self.total - self.done) * elapsed / (self.done - self._told)
        time_left = self.bar.format_interval(left)
        line = f"{self.done:,} of {self.total:,} steps, {time_left} left ({doing})"
        print(f"smsr sparsify: {line}", file=sys.stderr, flush=True)
        self._told, self._at = self.done, time.monotonic()
