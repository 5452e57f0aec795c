"""`python -m smsr_plugin`, which is `smsr`."""

from __future__ import annotations

import sys

from smsr_plugin.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
