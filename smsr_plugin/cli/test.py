"""`smsr test`: BasicSR's test pipeline with SMSR registered."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from smsr_plugin.cli import main as smsr
from smsr_plugin.cli.errors import bad_usage
from smsr_plugin.cli.pipeline import add_pipeline_parser


def add_parser(subparsers: Any) -> None:
    """Add `smsr test`."""
    parser = add_pipeline_parser(
        subparsers,
        "test",
        help="test a network as an option file says",
        description="Test a super-resolution network with BasicSR.",
        example="%(prog)s -opt options/test/SMSR/test_SMSR_x2.yml",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Test; return 0, or 2 after one line on stderr if the user must mend something."""
    from smsr_plugin.toolbox import test
    from smsr_plugin.toolbox.option_error import OptionError

    try:
        test.run(args)
    except OptionError as error:
        return bad_usage(args, error)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run `smsr test` by its earlier name, `smsr-test`."""
    return smsr.main(["test", *(sys.argv[1:] if argv is None else argv)])
