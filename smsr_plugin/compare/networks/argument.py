"""What a network is called on the command line: SOURCE[,KEY=VALUE...]."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from smsr_plugin.compare.networks.source import FORMS

#: A comma that begins `,key=`; others belong to the path or to a value.
NEXT_OPTION = re.compile(r",(?=[A-Za-z_]\w*=)")
#: `NAME=FILE`, a network of BasicSR's registry with its weights.
NAMED_FILE = re.compile(r"([A-Za-z][\w.-]*)=(.+)")
#: What some of `RUN_KEYS` can be; the first is the default.
CHOICES = {
    "precision": ("fp32", "bf16"),
    "form": tuple(FORMS),
    "backend": ("native", "reference"),
}
#: Keys that say how to run a network; all others are options of the network.
RUN_KEYS = ("label", "engine", "threshold", "density", "param_key", "threads", "isa", *CHOICES)


class NetworkError(ValueError):
    """A network cannot be had: one line that names it."""


@dataclass(frozen=True)
class NetworkArgument:
    """A network as it was asked for.

    Attributes:
        text: The argument.
        source: A registry name, or a file if `name` is not given with it.
        file: The file of `NAME=FILE`.
        options: Of the network's constructor, values as text.
        run: `RUN_KEYS` that were given, values as text.
    """

    text: str
    source: str
    file: Path | None
    options: Mapping[str, str]
    run: Mapping[str, str]


def parse_network(text: str) -> NetworkArgument:
    """Take an argument apart.

    Raises:
        NetworkError: If it is not of the form, or says something unknown of how to run it.
    """
    first, *entries = NEXT_OPTION.split(text)
    named = None if Path(first).is_file() else NAMED_FILE.fullmatch(first)
    source, file = (named[1], Path(named[2])) if named else (first, None)
    if not source:
        raise NetworkError(f"{text!r}: expected the name of a network or a file first")
    values: dict[str, str] = {}
    for entry in entries:
        key, _, value = entry.partition("=")
        if key in values or not value:
            raise NetworkError(f"{text}: {key} {'is given twice' if value else 'has no value'}")
        values[key] = value
    run = {key: values.pop(key) for key in RUN_KEYS if key in values}
    for key, known in CHOICES.items():
        if run.get(key, known[0]) not in known:
            raise NetworkError(f"{text}: {key} must be one of {', '.join(known)}, got {run[key]!r}")
    return NetworkArgument(text, source, file, values, run)
