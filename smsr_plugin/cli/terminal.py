"""What commands say to people: help, errors and tables, in colours where a terminal shows them.

rich is imported where something is to be coloured and nowhere else, as that takes a twentieth of a
second. Where it is missing, and where NO_COLOR or TERM=dumb ask for it, the text is plain.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, TextIO, TypeAlias, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

#: What argparse takes for a formatter's class.
MakeFormatter: TypeAlias = Callable[..., argparse.HelpFormatter]

#: Columns of a terminal that says it has fewer.
LEAST_WIDTH = 20
#: Of the parts of a help, in colours of the terminal's own palette, be it light or dark.
STYLES = {
    "argparse.args": "cyan",
    "argparse.groups": "bold",
    "argparse.help": "none",
    "argparse.metavar": "green",
    "argparse.prog": "bold",
    "argparse.text": "none",
}
#: How Markdown's tables mark what the papers set in bold and underlined.
_MARKS = {"bold": re.compile(r"\*\*(.*)\*\*"), "underline": re.compile(r"<u>(.*)</u>")}


def print_error(who: str, message: str) -> None:
    """Print a line on stderr: who says it, "error", and the message as it is."""
    stream = sys.stderr
    if stream is None:  # the caller has closed it
        return
    with suppress(OSError, ValueError):  # nobody is left to be told
        console = _console(stream)
        if console is None:
            print(f"{who}: error: {message}", file=stream)
            return
        from rich.text import Text

        console.print(Text.assemble(f"{who}: ", ("error", "bold red"), f": {message}"))


def print_tables(markdown: str) -> None:
    """Print a text on stdout; tables in it that fit the terminal are drawn."""
    console = _console(sys.stdout)
    if console is None:
        print(markdown)
        return
    for in_table, lines in groupby(markdown.splitlines(), lambda line: line.startswith("|")):
        rows = list(lines)
        table = _table(rows) if in_table and len(rows) > 1 else None
        room = console.options.update(max_width=sys.maxsize)
        if table is not None and table.__rich_measure__(console, room).maximum <= console.width:
            console.print(table)
        else:
            print("\n".join(rows), flush=True)


def help_formatter(plain: MakeFormatter, stream: TextIO | None) -> MakeFormatter:
    """Return what sets a help: in colours on a terminal, elsewhere `plain`."""
    console = _console(stream)
    if console is None:
        return plain
    try:
        from rich_argparse import RawDescriptionRichHelpFormatter, RichHelpFormatter
    except ImportError:
        return plain
    wanted, options = (plain.func, plain.keywords) if isinstance(plain, partial) else (plain, {})
    is_raw = wanted is argparse.RawDescriptionHelpFormatter
    look = {
        "group_name_formatter": str,
        "help_markup": False,  # brackets are brackets
        "styles": RichHelpFormatter.styles | STYLES,
        "text_markup": False,
    }
    base = RawDescriptionRichHelpFormatter if is_raw else RichHelpFormatter
    coloured = cast(type[RichHelpFormatter], type("Coloured", (base,), look))
    return partial(coloured, console=console, width=console.width - 2, **options)


def _console(stream: TextIO | None) -> Console | None:
    """Return what prints in colours, None where the text is to be plain."""
    if not _is_terminal(stream):
        return None
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    # rich takes COLUMNS=0 at its word, and shows nothing.
    width = max(shutil.get_terminal_size().columns, LEAST_WIDTH)
    return Console(
        file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=True
    )


def _is_terminal(stream: TextIO | None) -> bool:
    """Tell whether there is a terminal; a stream may be closed, or know no more than `write`."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):
        return False


def _table(rows: Sequence[str]) -> Table:
    """Return a table of Markdown, given its rows: titles, alignments, and the others."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    titles, alignments, *others = (_cells(row) for row in rows)
    table = Table(box=SIMPLE_HEAD)
    for title, alignment in zip(titles, alignments, strict=False):
        justify = "right" if alignment.endswith(":") else "left"
        table.add_column(_text(title), justify=justify, no_wrap=True)
    for row in others:
        table.add_row(*map(_text, row))
    return table


def _cells(row: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", row)[1:-1]
    return [cell.strip().replace(r"\|", "|") for cell in cells]


def _text(cell: str) -> Text:
    from rich.text import Text

    for style, mark in _MARKS.items():
        if found := mark.fullmatch(cell):
            return Text(found[1], style)
    return Text(cell)
