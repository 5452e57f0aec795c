"""Tables for LaTeX with the package booktabs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
