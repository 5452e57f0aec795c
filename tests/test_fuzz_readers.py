"""A short run of the fuzz of the readers, and that it would notice what it looks for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "fuzz_readers.py"

#: Readers that do what none may.
BAD_FORMATS = """
import os, signal
from dataclasses import dataclass
from pathlib import Path

@dataclass
class Format:
    files: dict
    read: object
    errors: tuple = (ValueError,)

def refuse(folder):
    raise ValueError("one\\ntwo" if b"lines" in (folder / "x").read_bytes() else "no")

def take_memory(folder):
    bytearray(4 << 30)

def fill(folder):
    bytearray(b"x" * (300 << 20))

def work(folder):
    import time
    end = time.process_time() + 6
    while time.process_time() < end:
        pass

def damaged(files, seed):
    return files

FORMATS = {
    "busy": Format({"x": b""}, work),
    "fills": Format({"x": b""}, fill),
    "good": Format({"x": b""}, refuse),
    "lines": Format({"x": b"lines"}, refuse),
    "memory": Format({"x": b""}, take_memory),
    "other": Format({"x": b""}, lambda folder: {}["x"]),
    "signal": Format({"x": b""}, lambda folder: os.kill(os.getpid(), signal.SIGSEGV)),
    "writes": Format({"x": b""}, lambda folder: (folder / "../y").touch()),
    "outside": Format({"x": b""}, lambda folder: (folder / "../../y").touch()),
}
"""


def fuzz(script: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_damaged_files_are_refused_and_nothing_else_happens():
    code, out = fuzz(SCRIPT, "--cases", "500", "--minutes", "10", "--seed", "3")
    assert code == 0, out
    assert "500 cases, seed 3, 0 findings" in out
    refused = re.findall(r"^(\w+) +refused +\d+$", out, re.MULTILINE)
    read = re.findall(r"^(\w+) +read +\d+$", out, re.MULTILINE)
    assert len(refused) == 25  # every format
    assert len(read) > 9  # much of the damage does no harm
    assert len(re.findall(r"^\w+ +longest \d+\.\d\d s, most \d+ MiB$", out, re.MULTILINE)) == 25


def test_the_fuzz_notices_what_readers_may_not_do(tmp_path):
    script = Path(shutil.copy(SCRIPT, tmp_path))
    (tmp_path / "fuzzed_formats.py").write_text(BAD_FORMATS)
    code, out = fuzz(script, "--cases", "9", "--minutes", "10", "--keep", str(tmp_path / "kept"))
    assert code == 1
    found = re.findall(r"^case \d+, (\w+): (.*)$", out, re.MULTILINE)
    assert [kind for kind, _ in found] == [
        "busy",
        "fills",
        *("lines", "memory", "other", "signal", "writes"),
    ]
    texts = [text.partition(" at ")[0] for _, text in found]
    assert texts[:2] == ["took more than 5 s of CPU", "took more than 256 MiB"]
    assert texts[2:6] == ["more than one line", "MemoryError", "KeyError", "died, code -11"]
    assert "wrote outside its folder" in out
    assert "9 cases" in out
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert kept == [
        "0-busy",
        "1-fills",
        *("3-lines", "4-memory", "5-other", "7-signal", "8-writes"),
    ]
    assert (tmp_path / "kept" / "3-lines" / "x").read_bytes() == b"lines"
