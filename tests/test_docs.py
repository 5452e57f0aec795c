"""The documentation: links lead somewhere, tables are as the files of results have them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from smsr_plugin.compare.markdown import CAPTIONS, markdown
from smsr_plugin.compare.outputs import JSON
from smsr_plugin.compare.results import Comparison

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CODE = re.compile(r"^```.*?^```|^(?: {4}|\t).*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings get, as GitHub makes them."""
    found: list[str] = []
    for heading in HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        again = sum(slug == other.partition("#")[0] for other in found)
        found.append(f"{slug}#{again}" if again else slug)
    return {anchor.replace("#", "-") for anchor in found}


def broken_links(page: Path) -> list[str]:
    """Return the links to files and headings that are not there."""
    broken = []
    for match in LINK.finditer(CODE.sub("", page.read_text("utf-8"))):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):  # another site
            continue
        name, _, anchor = unquote(target).partition("#")
        path = (page.parent / name).resolve() if name else page
        if not is_there(path, anchor):
            broken.append(target)
    return broken


def is_there(path: Path, anchor: str) -> bool:
    """Tell whether a link to a place in the repository leads to it."""
    if not path.is_relative_to(ROOT) or not path.exists():
        return False
    return not anchor or anchor in anchors(path.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert broken_links(page) == []


def test_broken_links_are_seen(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.md").write_text(
        "# One *two*, `three`\n## Same\n## Same\n"
        "[x](b.md) [x](#one-two-three) [x](#same-1) [x](#same-2) ![x](no.png) [x](../a.md)\n"
        "[x](a.md#one) `[x](code.md)` [x](https://example.org/no)\n"
    )
    (tmp_path / "b.md").touch()
    assert broken_links(tmp_path / "a.md") == ["#same-2", "no.png", "../a.md", "a.md#one"]


def test_tables_of_the_pages_are_those_of_the_results():
    script = ROOT / "scripts/docs_tables.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


RESULTS = sorted((ROOT / "docs/benchmarks").rglob(JSON))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_reports_are_those_of_the_results(path):
    plots = [name for name in CAPTIONS if (path.parent / name).exists()]
    comparison = Comparison.from_json(path.read_text("utf-8"))
    assert path.with_name("results.md").read_text("utf-8") == markdown(comparison, plots)
