"""What commands share: exit codes, how one says that it cannot be done, types of arguments.

argparse turns what the types raise into wrong usage.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from smsr_plugin.names import printable

FAILED = 1  #: The command ran, and part of its work failed.
BAD_USAGE = 2  #: An argument or a file that the user named is at fault; as argparse's own.
INTERRUPTED = 130  #: 128 + SIGINT, as shells count.


def bad_usage(args: argparse.Namespace, error: Exception | str) -> int:
    """Print one line on stderr that names the command; return `BAD_USAGE`."""
    print(f"smsr {args.command}: error: {printable(error)}", file=sys.stderr)
    return BAD_USAGE


def path(text: str) -> Path:
    """Return a path; `~` at its beginning is the home folder also where no shell has seen it."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user: then it is a name like any other
        return Path(text)


def path_text(text: str) -> str:
    """Return as text what may be a path, a pattern of paths or a name; see `path`."""
    return str(path(text))


def positive(text: str) -> int:
    """Return a whole number from 1."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """Return a whole number from 0."""
    return _whole(text, 0)


def percent(text: str) -> int:
    """Return a whole number in 1…100."""
    number = positive(text)
    if number > 100:
        raise argparse.ArgumentTypeError(f"expected a whole number in 1…100, got {text!r}")
    return number


def finite(text: str) -> float:
    """Return a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")
    return number


def factor(text: str) -> float:
    """Return a finite number above 0."""
    number = finite(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def share(text: str) -> float:
    """Return a number in 0…1."""
    number = finite(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, got {text!r}")
    return number


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
    return number
