"""The documentation as a site: built without a warning, whole, and on its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("zensical")
ROOT = Path(__file__).parents[1]
#: What a page names to be loaded with it.
LOADED = re.compile(
    r'<(?:script|img|iframe)[^>]*\ssrc="?(https?:[^" >]+)'
    r'|<link rel="?stylesheet"? href="?(https?:[^" >]+)'
)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder; warnings are errors."""
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    plain = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=240, env=plain
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Return a copy of the pages."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("results.json"))
    return folder


def test_every_page_is_there_and_loads_nothing_from_elsewhere(project):
    done = build(project)
    assert done.returncode == 0, done.stdout + done.stderr
    site = project / "build/site"
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        html = site / (name.with_name("index.html") if name.stem == "README" else name)
        assert html.exists(), f"{page.name} is not in the site"
        assert LOADED.findall(html.read_text("utf-8")) == []
        # A script would fetch what draws it, and show its code where there is no network.
        assert 'class="mermaid"' not in html.read_text("utf-8")
    assert 'href="../site.css"' in (site / "models/index.html").read_text("utf-8")
    assert (site / "site.css").is_file()


def test_a_broken_link_is_an_error(project):
    page = project / "docs/network.md"
    page.write_text(page.read_text("utf-8") + "\n[nowhere](glossary.md#nothing)\n", "utf-8")
    assert build(project).returncode != 0


def named(entry: object) -> set[str]:
    """Return the pages that a part of the navigation names."""
    if isinstance(entry, str):
        return {entry}
    parts = entry.values() if isinstance(entry, dict) else entry
    return set().union(*map(named, parts))


def test_every_page_is_found_from_the_navigation_or_left_out_by_name():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    left_out = {
        str(path.relative_to(ROOT / "docs"))
        for pattern in config["not_in_nav"].split()
        for path in (ROOT / "docs").glob(pattern)
    }
    assert pages - left_out == named(config["nav"])
