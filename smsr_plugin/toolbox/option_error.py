"""The error that a user can mend in the options, on one line, and what its text is made of."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

#: Stands for a key that is not there, where None is a value.
MISSING = object()
#: Characters of a value that an error shows.
VALUE_LENGTH = 200


class OptionError(ValueError):
    """An error that the user can mend; its text is one clear line."""


def wrong(key: str, expected: str, value: object, advice: str) -> OptionError:
    """Return the error for a key (its sections joined by dots).

    Args:
        key: Which key.
        expected: What it should hold.
        value: What it holds; `MISSING` for nothing at all.
        advice: What to do.
    """
    came = "nothing" if value is MISSING else shown(value)
    return OptionError(f"{key}: expected {expected}, got {came}; {advice}")


def shown(value: object) -> str:
    """Return a value as an error shows it: in Python's notation, cut where it is long."""
    text = repr(value)
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"


def suggestion(name: object, known: Sequence[str]) -> str:
    """Return ` (did you mean …?)` with the known name nearest to `name`, or nothing."""
    nearest = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""
