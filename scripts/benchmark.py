#!/usr/bin/env python
"""Measure sparse SMSR inference against dense engines on the CPU; see --help."""

from __future__ import annotations

import sys

from smsr_plugin.compare.engines.command import main

if __name__ == "__main__":
    sys.exit(main())
