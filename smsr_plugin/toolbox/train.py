"""BasicSR's training pipeline with SMSR registered."""

from __future__ import annotations

import argparse

from basicsr.train import train_pipeline

from smsr_plugin.toolbox.entry import run_pipeline


def run(args: argparse.Namespace) -> None:
    """Train a network as an option file says; raise OptionError if the user must mend something."""
    run_pipeline(args, train_pipeline)
