"""Names and texts that come from strangers, as they may be printed.

A file's name can hold line ends, which forge lines of a log, and escape sequences, which a terminal
obeys. In a table the signs that mean something there do the same.
"""

from __future__ import annotations

#: By which a spreadsheet knows a formula.
FORMULA = ("=", "+", "-", "@")


def printable(text: object) -> str:
    """Return a name, path or message in one line; what is no visible sign is written as its code.

    Those are line ends and other control characters, escape sequences, marks that turn the
    direction of the text, and bytes that are no text.
    """
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(text)
    )


def table_cell(text: object) -> str:
    """Return a name for a Markdown table, in which no cell, tag or code begins or ends in it."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def csv_cell(value: object) -> object:
    """Return a value for a CSV file: a name as a spreadsheet takes it for no formula."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if shown.startswith(FORMULA) else shown
