"""What commands share: exit codes, how one says that it cannot be done, types of arguments.

argparse turns what the types raise into wrong usage.
"""

from __future__ import annotations

import argparse
import errno
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from smsr_plugin.cli.terminal import help_formatter, print_error
from smsr_plugin.config import PRECISIONS
from smsr_plugin.names import printable

FAILED = 1  #: The command ran, and part of its work failed.
BAD_USAGE = 2  #: An argument or a file that the user named is at fault; as argparse's own.
INTERRUPTED = 130  #: 128 + SIGINT, as shells count.

#: What a disk says that takes no more.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def bad_usage(args: argparse.Namespace, error: Exception | str) -> int:
    """Print one line on stderr that names the command; return `BAD_USAGE`."""
    print_error(f"smsr {args.command}", told(error))
    return BAD_USAGE


def told(error: Exception | str) -> str:
    """Return an error in one line: of a file its name and the reason, of a full disk what to do."""
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
        if error.errno in FULL:
            text += "; make room there or name another place"
    return printable(text)


def add_imports(parser: argparse.ArgumentParser) -> None:
    """Add `--import`."""
    parser.add_argument(
        "--import", dest="imports", action="append", default=[], type=path_text, metavar="MODULE",
        help="your own module or FILE.py: networks, losses, ...",
    )  # fmt: skip


def add_precision(add: Callable[..., object]) -> None:
    """Add `--precision`, of sparse inference."""
    add("--precision", choices=PRECISIONS, default="fp32", metavar="P",
        help="fp32; bf16: faster if the CPU has it; int8: an SMSR with peaks, on AMX")  # fmt: skip


#: More threads than any machine has cores; libgomp ends a process that it cannot give so many.
MOST_THREADS = 1024
#: Larger factors are slips.
MOST_TIMES = 1000


def path(text: str) -> Path:
    """Return a path; `~` at its beginning is the home folder also where no shell has seen it."""
    if not text:  # a variable of a script that is not set; else it would be the current folder
        raise argparse.ArgumentTypeError("expected a name, got '' (. is the current folder)")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user: then it is a name like any other
        return Path(text)


def path_text(text: str) -> str:
    """Return as text what may be a path, a pattern of paths or a name; see `path`."""
    return str(path(text))


def _whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """Return the type of whole numbers from `least`, up to `most`."""
    expected = f"from {least}" if most == math.inf else f"in {least}…{most}"

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected a whole number {expected}, got {text!r}")
        return value

    return number


def _real(expected: str, least: float, most: float) -> Callable[[str], float]:
    """Return the type of finite numbers from `least` to `most`."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
        return value

    return number


positive, not_negative = _whole(1), _whole(0)
threads, percent = _whole(1, MOST_THREADS), _whole(1, 100)
crf = _whole(0, 51)  #: A constant rate factor of H.264.
finite, share = _real("a number", -math.inf, math.inf), _real("a share from 0 to 1", 0, 1)
factor = _real(f"a number above 0, at most {MOST_TIMES}", math.ulp(0.0), MOST_TIMES)

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
        self.color = False  # of Python 3.14's own; see `terminal`

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
        print_error(self.prog, f"{text} ({self.prog} --help)")
        self.exit(BAD_USAGE)

    def print_help(self, file: Any = None) -> None:
        """Print the help, in colours on a terminal."""
        plain = self.formatter_class
        self.formatter_class = help_formatter(plain, file or sys.stdout)
        try:
            super().print_help(file)
        finally:
            self.formatter_class = plain

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
