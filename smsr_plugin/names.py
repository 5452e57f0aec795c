"""Names and texts that come from strangers, as they may be printed.

A file's name can hold line ends, which forge lines of a log, and escape sequences, which a terminal
obeys. In a table the signs that mean something there do the same.
"""

from __future__ import annotations

from collections.abc import Sequence

#: By which a spreadsheet knows a formula.
FORMULA = ("=", "+", "-", "@")
#: What means something in a table of Markdown, and what stands for it.
ENTITIES = str.maketrans({"|": "&#124;", "<": "&lt;", "[": "&#91;", "`": "'"})


def printable(text: object) -> str:
    """Return a name, path or message in one line; what is no visible sign is written as its code.

    Those are line ends and other control characters, escape sequences, marks that turn the
    direction of the text, and bytes that are no text.
    """
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text)
    )


def printable_lines(text: str) -> str:
    """Return a text as `printable` does, but with its line ends and tabs."""
    return "".join(sign if sign in "\n\t" else printable(sign) for sign in text)


def listed(names: Sequence[str], most: int) -> str:
    """Return up to `most` names, joined by commas, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def first_line(error: Exception | str) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def table_cell(text: object) -> str:
    """Return a name for a Markdown table: no cell, tag, link or code begins or ends in it.

    Signs become entities: a backslash before one would be undone by another in the name.
    """
    return printable(text).translate(ENTITIES)


def code_span(text: object) -> str:
    """Return a text as code in Markdown, in one line."""
    return "`" + printable(text).replace("`", "'") + "`"


def csv_cell(value: object) -> object:
    """Return a value for a CSV file: a name as a spreadsheet takes it for no formula."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if shown.startswith(FORMULA) else shown
