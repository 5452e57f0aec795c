#!/usr/bin/env python
"""`smsr flops` by its earlier name; see --help."""

from __future__ import annotations

import sys

from smsr_plugin.cli.flops import main

if __name__ == "__main__":
    sys.exit(main())
