#!/usr/bin/env python
"""Make the LMDBs to train and validate on; see --help."""

from __future__ import annotations

import sys

from smsr_plugin.data.prepare_command import main

if __name__ == "__main__":
    sys.exit(main())
