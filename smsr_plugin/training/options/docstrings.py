"""What the docstrings of this package say of arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

_PACKAGE = __name__.partition(".")[0]
_ARGUMENTS = re.compile(r"^Args:\n((?:[ \t].*\n?|\n)*)", re.MULTILINE)
_ARGUMENT = re.compile(r"^    (\w+(?:, \w+)*): ", re.MULTILINE)


def argument_texts(target: Callable[..., Any]) -> Mapping[str, str]:
    """Return the text on each argument of a class or function, on one line.

    Of this package's alone: other projects' sentences do not go into its docs.
    """
    if not target.__module__.startswith(f"{_PACKAGE}."):
        return {}
    section = _ARGUMENTS.search(inspect.getdoc(target) or "")
    if section is None:
        return {}
    _, *pieces = _ARGUMENT.split(section.group(1))
    texts: dict[str, str] = {}
    for names, text in zip(pieces[::2], pieces[1::2], strict=True):
        texts |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return texts
