"""`smsr train`: BasicSR's training pipeline with SMSR registered."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from smsr_plugin.cli import main as smsr
from smsr_plugin.cli.errors import bad_usage
from smsr_plugin.cli.pipeline import add_pipeline_parser


def add_parser(subparsers: Any) -> None:
    """Add `smsr train`."""
    parser = add_pipeline_parser(
        subparsers,
        "train",
        help="train a network as an option file says",
        description="Train a super-resolution network with BasicSR.",
        example="%(prog)s -opt options/train/SMSR/train_SMSR_x2.yml --auto_resume",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; return 0, or 2 after one line on stderr if the user must mend something."""
    from smsr_plugin.toolbox import train
    from smsr_plugin.toolbox.option_error import OptionError

    try:
        train.run(args)
    except OptionError as error:
        return bad_usage(args, error)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run `smsr train` by its earlier name, `smsr-train`."""
    return smsr.main(["train", *(sys.argv[1:] if argv is None else argv)])
