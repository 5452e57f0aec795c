"""Results of several scales as one table in the form of the field's papers, for LaTeX and Markdown.

The best value of a scale is bold, the second underlined, in Markdown italic, by what is printed:
values that look alike are marked alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from smsr_plugin.compare.latex import RULE, escaped, line, tabular
from smsr_plugin.compare.results import Comparison, NetworkResult
from smsr_plugin.compare.tables import UNKNOWN, optional_text, table
from smsr_plugin.names import printable

FIRST, SECOND = 0, 1


class Cell(NamedTuple):
    """PSNR and SSIM of a network on a set, as printed, and which rank each has."""

    psnr: str
    ssim: str
    psnr_rank: int | None = None
    ssim_rank: int | None = None


class Row(NamedTuple):
    """A network at a scale."""

    scale: int
    label: str
    params: str
    macs: str
    cells: list[Cell]


def paper_markdown(comparisons: Sequence[Comparison]) -> str:
    """Return the table as Markdown.

    Raises:
        ValueError: If there are no images with a ground truth.
    """
    sets = _sets(comparisons)
    marks = {FIRST: "**{}**", SECOND: "*{}*"}
    lines = []
    for row in _rows(comparisons, sets):
        cells = [" / ".join(_marked(cell, marks, str)) for cell in row.cells]
        lines.append([f"x{row.scale}", row.label, row.params, row.macs, *cells])
    return table(["scale", "method", "params", "multiply-adds", *sets], lines, left=2) + "\n"


def paper_latex(comparisons: Sequence[Comparison]) -> str:
    """Return the table as LaTeX, for the package booktabs.

    Raises:
        ValueError: If there are no images with a ground truth.
    """
    sets = _sets(comparisons)
    marks = {FIRST: r"\textbf{{{}}}", SECOND: r"\underline{{{}}}"}
    head = ["Scale", "Method", "Params", "Multi-Adds", *map(escaped, sets)]
    lines = [line(head), line(["", "", "", "", *["PSNR / SSIM"] * len(sets)])]
    scale = None
    for row in _rows(comparisons, sets):
        if row.scale != scale:
            lines.append(RULE)
        shown = rf"$\times${row.scale}" if row.scale != scale else ""
        scale = row.scale
        cells = [" / ".join(_marked(cell, marks, escaped)) for cell in row.cells]
        figures = [escaped(row.params), escaped(row.macs)]
        lines.append(line([shown, escaped(row.label), *figures, *cells]))
    return tabular(f"llrr{'c' * len(sets)}", lines)


def _sets(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the sets with a ground truth, in the order in which they come up."""
    sets = list(dict.fromkeys(name for each in comparisons for name in each.quality_sets))
    if not sets:
        raise ValueError("no results on images with a ground truth: --images takes HR folders")
    return sets


def _rows(comparisons: Sequence[Comparison], sets: Sequence[str]) -> Iterator[Row]:
    for comparison in sorted(comparisons, key=lambda each: each.scale):
        columns = [_column(comparison.networks, name) for name in sets]
        for i, network in enumerate(comparison.networks):
            params = optional_text(network.params and network.params / 1e3, "{:.0f}K")
            macs = optional_text(network.macs and network.macs / 1e9, "{:.1f}G")
            cells = [column[i] for column in columns]
            yield Row(comparison.scale, printable(network.label), params, macs, cells)


def _column(networks: Sequence[NetworkResult], set_name: str) -> list[Cell]:
    """Return the cells of a set, for all networks of a scale."""
    psnr = [_text(network.psnr_y(set_name), 2) for network in networks]
    ssim = [_text(network.ssim_y(set_name), 4) for network in networks]
    return [Cell(*each) for each in zip(psnr, ssim, _ranks(psnr), _ranks(ssim), strict=True)]


def _text(value: float | None, digits: int) -> str:
    if value is None:
        return UNKNOWN
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def _ranks(texts: Sequence[str]) -> list[int | None]:
    """Return 0 for the best, 1 for the second best, None for the others."""
    values = [float(text.replace("∞", "inf")) if text != UNKNOWN else None for text in texts]
    best = sorted({value for value in values if value is not None}, reverse=True)[:2]
    return [best.index(value) if value in best else None for value in values]


def _marked(cell: Cell, marks: dict[int, str], escaped: Callable[[str], str]) -> Iterator[str]:
    for text, rank in ((cell.psnr, cell.psnr_rank), (cell.ssim, cell.ssim_rank)):
        yield escaped(text) if rank is None else marks[rank].format(escaped(text))
