"""`smsr train`: BasicSR's training pipeline with SMSR registered."""

from __future__ import annotations

from typing import Any

from smsr_plugin.cli.main import earlier_name
from smsr_plugin.cli.pipeline import add_pipeline_parser


def add_parser(subparsers: Any) -> None:
    """Add `smsr train`."""
    add_pipeline_parser(
        subparsers,
        "train",
        help="train a network as an option file says",
        description="Train a super-resolution network with BasicSR.",
        example="%(prog)s -opt options/train/SMSR/train_SMSR_x2.yml --auto_resume",
    )


#: `smsr-train`.
main = earlier_name("train")
