"""argparse's parser, with errors of one line that name what was probably meant."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from smsr_plugin.cli.arguments import BAD_USAGE
from smsr_plugin.names import printable

#: What argparse takes for a value and not for an option.
_NEGATIVE_NUMBER = re.compile(r"-\d+(\.\d*)?|-\.\d+")


class Parser(argparse.ArgumentParser):
    """A parser that knows what was mistyped.

    Attributes:
        habits: Options that people know from other programs, with what to do here.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.habits: Mapping[str, str] = {}
        self._given: Sequence[str] = ()

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Parse as argparse does; an option that is not known is wrong usage at once."""
        self._given = sys.argv[1:] if args is None else list(args)
        found, extra = super().parse_known_args(args, namespace)
        if extra:
            self.error(f"unexpected: {' '.join(map(shown, extra))}")
        return found, extra

    def error(self, message: str) -> NoReturn:
        """Exit with one line: the first option that is not known, or else what argparse says."""
        unknown = self._first_unknown()
        if unknown is not None:
            message = f"unknown option {shown(unknown)}{self._advice(unknown)}"
        text = " ".join(message.split())
        self.exit(BAD_USAGE, f"{self.prog}: error: {text} ({self.prog} --help)\n")

    def _first_unknown(self) -> str | None:
        known = list(self._option_string_actions)
        for argument in self._given:
            option = argument.partition("=")[0]
            if argument == "--":
                break
            if not argument.startswith("-") or argument == "-" or " " in argument:
                continue
            is_short = len(option) > 1 and option[:2] in known  # with its value, as -oOUT
            is_short |= any(name.startswith(option) for name in known)
            if not is_short and not _NEGATIVE_NUMBER.fullmatch(argument):
                return option
        return None

    def _advice(self, unknown: str) -> str:
        if unknown in self.habits:
            return f": {self.habits[unknown]}"
        shown = [name for action in self._actions if action.help != argparse.SUPPRESS
                 for name in action.option_strings]  # fmt: skip
        return did_you_mean(unknown, shown)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question that names the known word most like this one, or nothing."""
    found = get_close_matches(word, list(known), n=1)
    return f": did you mean {found[0]}?" if found else ""


def shown(word: str) -> str:
    """Return a word fit for a line of an error: visible, and cut if long."""
    return printable(word[:80]) if word else "''"
