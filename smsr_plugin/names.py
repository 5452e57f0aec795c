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
    """Return a name for a cell of a Markdown table, in which it is neither markup nor HTML."""
    shown = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "`*[]|":
        shown = shown.replace(sign, f"\\{sign}")
    return shown


def csv_cell(text: object) -> str:
    """Return a name for a cell of a CSV file, which no spreadsheet takes for a formula."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown
