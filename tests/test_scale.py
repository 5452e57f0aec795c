"""The recipes of docs/scale.md and the notebook, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from image_files import noise, save

ROOT = Path(__file__).parents[1]


def run(folder: Path, *command: str) -> str:
    """Run Python with the package in a folder; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_a_dask_worker_that_is_killed_loses_nothing_and_nothing_is_done_twice(tmp_path):
    pytest.importorskip("distributed")
    pytest.importorskip("smsr_plugin._kernels")
    for number in range(12):
        save(tmp_path / "in" / f"{number}.png", (noise(48, 64 + number) * 255).astype(np.uint8))
    script = str(ROOT / "scripts/upscale_with_dask.py")
    printed = run(tmp_path, script, "in", "out", "--workers", "2", "--kill")
    assert re.search(r"^killed worker \d+, with \d+ images before it$", printed, re.MULTILINE)
    assert "none failed" in printed
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        path.name for path in (tmp_path / "in").iterdir()
    }
    lines = (tmp_path / "out" / "done.log").read_text().splitlines()
    times = Counter(line.split(" ", 1)[1] for line in lines)
    # Killed between an image and its line, a worker leaves none.
    assert 11 <= len(times) <= 12
    assert set(times.values()) == {1}


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("smsr_plugin._kernels")
    code = f"""
import nbclient, nbformat
book = nbformat.read({str(ROOT / "docs/tutorial.ipynb")!r}, as_version=4)
assert not any(cell.get("outputs") for cell in book.cells)  # as it is kept
nbclient.NotebookClient(book, timeout=200, kernel_name="python3").execute()
outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
print("".join(output.text for output in outputs if output.output_type == "stream"))
print(sum("image/png" in output.get("data", ()) for output in outputs), "images")
"""
    printed = run(tmp_path, "-c", code)
    assert "3 images" in printed
    assert len(re.findall(r"^asked 0?\d\.\d\d, computed \d\.\d\d", printed, re.MULTILINE)) == 3
