from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smsr_plugin import staging
from smsr_plugin.staging import OLD, replace_file, staged_file, sweep_temporary


def test_a_file_is_written_and_replaced(tmp_path):
    for content in (b"old", b"new" * 1000):
        replace_file(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("fault", ["fsync", "read", "replace"])
def test_what_fails_leaves_the_old_file(tmp_path, monkeypatch, fault):
    def fail(*args):
        raise OSError(28, "No space left on device")

    replace_file(tmp_path / "file", b"old")
    if fault == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    elif fault == "read":  # the disk gives other bytes back
        monkeypatch.setattr(Path, "read_bytes", lambda path: b"nex")
    else:
        monkeypatch.setattr(Path, "replace", fail)
    expected = "reads back differently" if fault == "read" else "No space"
    with pytest.raises(OSError, match=expected) as caught:
        replace_file(tmp_path / "file", b"new")
    assert caught.value.filename == str(tmp_path / "file")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_only_the_temporary_files_of_writers_are_swept(tmp_path):
    stale = tmp_path / ".0123456789abcdef.tmp"
    for name in (stale.name, "net_g_5.pth", "mine.tmp", ".hidden", ".a.tmp"):
        (tmp_path / name).touch()
    assert sweep_temporary(tmp_path) == [stale]
    assert len(list(tmp_path.iterdir())) == 4
    assert sweep_temporary(tmp_path / "missing") == []


def test_where_there_are_no_locks_only_old_files_are_swept(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    old, new = (tmp_path / f".{digit * 16}.tmp" for digit in "ab")
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 2 * OLD,) * 2)
    monkeypatch.setattr(staging.fcntl, "flock", no_locks)
    assert sweep_temporary(tmp_path) == [old]
    replace_file(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "file"]


def test_as_on_windows_old_files_are_swept_while_they_are_closed(tmp_path, monkeypatch):
    remove = Path.unlink

    def unlink(path, missing_ok=False):
        opened = [os.path.realpath(link) for link in Path("/proc/self/fd").glob("*")]
        assert str(path) not in opened
        remove(path, missing_ok=missing_ok)

    old, new = (tmp_path / f".{digit * 16}.tmp" for digit in "ab")
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 2 * OLD,) * 2)
    monkeypatch.setattr(staging, "fcntl", None)
    monkeypatch.setattr(Path, "unlink", unlink)
    assert sweep_temporary(tmp_path) == [old]
    replace_file(tmp_path / "file", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "file"]


def test_a_writer_sweeps_what_killed_ones_left_beside_its_file(tmp_path):
    stale = tmp_path / ".0123456789abcdef.tmp"
    stale.touch()
    (tmp_path / ".a.tmp").touch()
    replace_file(tmp_path / "file", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.tmp", "file"]


KILLED = """
import os, sys
from pathlib import Path
from smsr_plugin.staging import staged_file
with staged_file(Path(sys.argv[1])) as file:
    file.write_bytes(b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_file_that_another_process_writes_is_swept_only_when_that_is_killed(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path / "a.png"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        (left,) = tmp_path.iterdir()
        assert sweep_temporary(tmp_path) == []
        process.kill()
    assert sweep_temporary(tmp_path) == [left]
    assert list(tmp_path.iterdir()) == []


def test_own_files_are_not_swept_while_they_are_written(tmp_path):
    with staged_file(tmp_path / "a.png") as file:
        file.write_bytes(b"whole")
        assert sweep_temporary(tmp_path) == []
    assert (tmp_path / "a.png").read_bytes() == b"whole"
    assert len(list(tmp_path.iterdir())) == 1


def _staged(path):
    with staged_file(path) as new:
        new.write_bytes(b"new")


@pytest.mark.parametrize("write", [lambda path: replace_file(path, b"new"), _staged])
def test_ctrl_c_right_after_the_temporary_file_is_made_leaves_nothing(tmp_path, monkeypatch, write):
    final = tmp_path / "a.png"
    final.write_bytes(b"old")

    def interrupted(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr("smsr_plugin.staging._lock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(final)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.png", b"old")]
