"""`smsr test`: BasicSR's test pipeline with SMSR registered."""

from __future__ import annotations

from typing import Any

from smsr_plugin.cli.main import earlier_name
from smsr_plugin.cli.pipeline import add_pipeline_parser


def add_parser(subparsers: Any) -> None:
    """Add `smsr test`."""
    add_pipeline_parser(
        subparsers,
        "test",
        help="test a network as an option file says",
        description="Test a super-resolution network with BasicSR.",
        example="%(prog)s -opt options/test/SMSR/test_SMSR_x2.yml",
    )


#: `smsr-test`.
main = earlier_name("test")
