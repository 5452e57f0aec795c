"""Numbers as types of arguments: argparse turns what they raise into wrong usage."""

from __future__ import annotations

import argparse
import math


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


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
    return number
