#!/usr/bin/env python
"""Count a network's parameters and multiply-adds; see --help."""

from __future__ import annotations

import sys

from smsr_plugin.cli.flops import main

if __name__ == "__main__":
    sys.exit(main())
