"""Exit codes, and how a command says that it cannot be done."""

from __future__ import annotations

import argparse
import sys

FAILED = 1  #: The command ran, and part of its work failed.
BAD_USAGE = 2  #: An argument or a file that the user named is at fault; as argparse's own.
INTERRUPTED = 130  #: 128 + SIGINT, as shells count.


def bad_usage(args: argparse.Namespace, error: Exception | str) -> int:
    """Print one line on stderr that names the command; return `BAD_USAGE`."""
    print(f"smsr {args.command}: error: {error}", file=sys.stderr)
    return BAD_USAGE
