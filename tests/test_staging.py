from __future__ import annotations

import os
from pathlib import Path

import pytest

from smsr_plugin.staging import replace_file, sweep_temporary


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
    with pytest.raises(OSError, match="reads back differently" if fault == "read" else "No space"):
        replace_file(tmp_path / "file", b"new")
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
