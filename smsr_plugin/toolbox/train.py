"""`smsr-train`: BasicSR's training pipeline with SMSR registered."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from basicsr.train import train_pipeline

from smsr_plugin.toolbox.entry import make_parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Train a network as an option file says; return the exit code (see `entry.run`)."""
    parser = make_parser(
        "smsr-train",
        "Train a super-resolution network with BasicSR.",
        "smsr-train -opt options/train/SMSR/train_SMSR_x2.yml --auto_resume",
    )
    return run(parser, argv, train_pipeline)


if __name__ == "__main__":
    sys.exit(main())
