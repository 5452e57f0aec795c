"""`smsr-test`: BasicSR's test pipeline with SMSR registered."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from basicsr.test import test_pipeline

from smsr_plugin.toolbox.entry import make_parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Test a network as an option file says; return the exit code (see `entry.run`)."""
    parser = make_parser(
        "smsr-test",
        "Test a super-resolution network with BasicSR.",
        "smsr-test -opt options/test/SMSR/test_SMSR_x2.yml",
    )
    return run(parser, argv, test_pipeline)


if __name__ == "__main__":
    sys.exit(main())
