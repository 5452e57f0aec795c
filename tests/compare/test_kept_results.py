"""The results that docs/ shows: they can be read, and its tables say what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from smsr_plugin.compare.markdown import markdown
from smsr_plugin.compare.results import Comparison

DOCS = Path(__file__).parents[2] / "docs/benchmarks"
RESULTS = sorted(DOCS.rglob("results.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: str(path.parent.relative_to(DOCS)))
def test_tables_are_those_of_the_results(path):
    comparison = Comparison.from_json(path.read_text(encoding="utf-8"))
    kept = (path.parent / "results.md").read_text(encoding="utf-8")
    plots = [name for name in PLOTS if f"]({name})" in kept]
    assert kept == markdown(comparison, plots)
    assert all((path.parent / name).is_file() for name in plots)


PLOTS = ("density.svg", "quality_macs.svg", "quality_time.svg", "time_macs.svg")


def test_there_are_results():
    assert len(RESULTS) >= 7
