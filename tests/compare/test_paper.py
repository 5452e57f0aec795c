"""The table in the papers' form: what is bold, what is underlined, and that LaTeX can read it."""

from __future__ import annotations

import math
import re
import shutil
import subprocess

import pytest

from smsr_plugin.cli.main import main
from smsr_plugin.compare.outputs import JSON
from smsr_plugin.compare.paper import paper_latex, paper_markdown
from smsr_plugin.compare.results import Comparison, Measurement, NetworkResult
from smsr_plugin.images.quality import Quality


def comparison(scale: int, figures: dict[str, tuple[float, float] | None]) -> Comparison:
    """Return networks with PSNR and SSIM on one image of the set "Set_5"."""
    networks = []
    for label, found in {"Bicubic": (30.0, 0.8), **figures}.items():
        network = NetworkResult(label, label, label, "PyTorch", "fp32", params=1234, macs=5.64e9)
        quality = found and Quality(found[0], found[1], 0.0, 0.0)
        network.measurements = [Measurement(label, "Set_5", "a", (8, 8), quality)] if found else []
        network.failures = {} if found else {"Set_5/a": "out of luck"}
        networks.append(network)
    return Comparison("", [], 2, {"rounds": 0}, {}, scale, {"Set_5": 1}, networks)


X2 = comparison(2, {"A": (38.004, 0.96), "B": (38.001, 0.95), "C&D": (37.5, 0.96), "E": None})
X4 = comparison(4, {"A": (math.inf, 1.0), "B": (31.0, 0.7)})


def rows(markdown: str) -> list[list[str]]:
    """Return the cells of each line below the head."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines()[2:]]


def test_best_and_second_are_marked_by_what_is_printed():
    found = rows(paper_markdown([X4, X2]))
    assert [row[:2] for row in found] == [
        ["x2", "Bicubic"], ["x2", "A"], ["x2", "B"], ["x2", "C&D"], ["x2", "E"],
        ["x4", "Bicubic"], ["x4", "A"], ["x4", "B"],
    ]  # fmt: skip
    assert found[0][2:4] == ["1K", "5.6G"]
    assert [row[4] for row in found] == [
        "30.00 / 0.8000",
        "**38.00** / **0.9600**",  # 38.004 and 38.001 look alike
        "**38.00** / *0.9500*",
        "*37.50* / **0.9600**",
        "– / –",
        "30.00 / *0.8000*",
        "**∞** / **1.0000**",
        "*31.00* / 0.7000",
    ]


def test_latex_has_the_same_figures_and_escapes_names():
    text = paper_latex([X2, X4])
    assert r"Scale & Method & Params & Multi-Adds & Set\_5 \\" in text
    assert r"$\times$2 & Bicubic & 1K & 5.6G & 30.00 / 0.8000 \\" in text
    assert r" & A & 1K & 5.6G & \textbf{38.00} / \textbf{0.9600} \\" in text
    assert r" & C\&D & 1K & 5.6G & \underline{37.50} / \textbf{0.9600} \\" in text
    assert text.count(r"\midrule") == 2
    columns = {len(re.findall(r"(?<!\\)&", line)) for line in text.splitlines() if "&" in line}
    assert columns == {4}


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="LaTeX is not installed")
def test_latex_reads_it(tmp_path):
    head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "a.tex").write_text(head + paper_latex([X2, X4]) + r"\end{document}")
    command = ["pdflatex", "-halt-on-error", "-interaction=batchmode", "a.tex"]
    assert subprocess.run(command, cwd=tmp_path, timeout=60).returncode == 0


def test_the_command_writes_both(tmp_path, capsys):
    for each in (X2, X4):
        folder = tmp_path / str(each.scale)
        folder.mkdir()
        (folder / JSON).write_text(each.to_json())
    folders = [str(tmp_path / "2"), str(tmp_path / "4")]
    assert main(["benchmark", "--paper", *folders, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == paper_markdown([X2, X4])
    assert (tmp_path / "out/paper.md").read_text() == paper_markdown([X2, X4])
    assert (tmp_path / "out/paper.tex").read_text() == paper_latex([X2, X4])


def test_results_that_are_none_are_said(tmp_path, capsys):
    assert main(["benchmark", "--paper", str(tmp_path / "no")]) == 2
    assert "No such file" in capsys.readouterr().err
    (tmp_path / JSON).write_text("{}")
    assert main(["benchmark", "--paper", str(tmp_path)]) == 2
    assert "not the results of a comparison" in capsys.readouterr().err
