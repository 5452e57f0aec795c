"""Tables in the form of the field's papers, for LaTeX and Markdown: of several scales, and NTIRE's.

Of a scale the best value is bold, the second underlined, in Markdown italic, by what is printed:
values that look alike are marked alike.

The table of the NTIRE challenges on efficient super-resolution tells runtime, multiply-adds,
activations and memory for lq images of 256×256, and PSNR on RGB. The challenges count with noise;
what networks with masks compute depends on the image, so that here three photographs are taken, and
the means over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from smsr_plugin.compare.images import NTIRE_SET
from smsr_plugin.compare.results import Comparison, NetworkResult
from smsr_plugin.compare.tables import UNKNOWN, optional_text, table
from smsr_plugin.names import printable

NTIRE_HEAD = ("runtime, ms", "params, M", "FLOPs, G", "activations, M", "memory, MiB")
NTIRE_NOTES = """\
For lq images of 256×256, parts of three photographs. Runtime: the median run, mean over the three.
FLOPs: multiply-adds, each counted once; of networks with masks FLOPs and activations are what the
masks keep. PSNR (dB): on RGB, cut at a border of the scale."""

#: What LaTeX reads as something else than itself.
SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "–": "--",
    "×": r"$\times$",
    "∞": "inf",
}
RULE = r"\midrule"

FIRST, SECOND = 0, 1


def escaped(text: str) -> str:
    """Return a text that LaTeX prints as it is."""
    return "".join(SIGNS.get(sign, sign) for sign in text)


def line(cells: Iterable[str]) -> str:
    """Return a row of cells, which are LaTeX already."""
    return " & ".join(cells) + r" \\"


def tabular(columns: str, lines: Sequence[str]) -> str:
    """Return a table of what `line` returned and of `RULE`."""
    head = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    return "\n".join([*head, *lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


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


def ntire_markdown(comparison: Comparison) -> str:
    """Return the table of a comparison on the images of `NTIRE_SET`."""
    return table(
        _ntire_head(comparison), [_ntire_row(each, comparison) for each in comparison.networks]
    )


def ntire_latex(comparison: Comparison) -> str:
    """Return the same for LaTeX."""
    rows = [_ntire_row(network, comparison) for network in comparison.networks]
    head, *lines = (line(map(escaped, row)) for row in (_ntire_head(comparison), *rows))
    return tabular("l" + "r" * len(rows[0][1:]), [head, RULE, *lines])


def _ntire_head(comparison: Comparison) -> list[str]:
    return ["method", *(f"PSNR {name}" for name in comparison.quality_sets), *NTIRE_HEAD]


def _ntire_row(network: NetworkResult, comparison: Comparison) -> list[str]:
    psnr = (
        network.mean(lambda m: m.quality and m.quality.psnr_rgb, name)
        for name in comparison.quality_sets
    )
    seconds = network.seconds(NTIRE_SET)
    macs = network.mean(lambda m: m.macs, NTIRE_SET)
    activations = network.mean(lambda m: m.activations, NTIRE_SET)
    measured = [m for m in network.measurements if m.set_name == NTIRE_SET]
    memory = max((m.peak_mib for m in measured if m.peak_mib is not None), default=None)
    return [
        printable(network.label),
        *("∞" if value == math.inf else optional_text(value, "{:.2f}") for value in psnr),
        optional_text(seconds and seconds * 1e3, "{:.2f}"),
        optional_text(network.params and network.params / 1e6, "{:.3f}"),
        optional_text(macs and macs / 1e9, "{:.2f}"),
        optional_text(activations and activations / 1e6, "{:.2f}"),
        optional_text(memory, "{:.1f}"),
    ]
