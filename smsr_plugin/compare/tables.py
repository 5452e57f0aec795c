"""Tables and figures as Markdown that is also readable as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smsr_plugin.names import table_cell

UNKNOWN = "–"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: int = 1,
    cell: Callable[[str], str] = table_cell,
) -> str:
    """Return a table with aligned columns.

    Args:
        head: The names of the columns.
        rows: Their cells.
        left: How many columns are aligned to the left.
        cell: Makes a cell of a text; the default lets no text be anything but text, `str` leaves
            links as they are.
    """
    head, *rows = [list(map(cell, row)) for row in (head, *rows)]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def known_columns(
    head: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Return a table's head and rows without the columns of which nothing is known."""
    kept = [i for i in range(len(head)) if any(row[i] != UNKNOWN for row in rows)]
    return [head[i] for i in kept], [[row[i] for i in kept] for row in rows]


def seconds_text(value: float) -> str:
    """Return seconds with three digits: 13.2, 1.70, 0.574, 0.00912."""
    for limit, digits in ((10, 1), (1, 2), (0.1, 3), (0.01, 4)):
        if value >= limit:
            return f"{value:.{digits}f}"
    return f"{value:.5f}"


def ratio_text(value: float) -> str:
    """Return "1.85×"."""
    return f"{value:.2f}×"


def optional_text(value: float | None, layout: str) -> str:
    """Return a value in a layout of `str.format`, or the sign of what is not known."""
    return UNKNOWN if value is None else layout.format(value)
