#!/usr/bin/env python
"""Measure training on the CPU against a literal reading of the formulas; see --help."""

from __future__ import annotations

import sys

from smsr_plugin.compare.training.command import main

if __name__ == "__main__":
    sys.exit(main())
