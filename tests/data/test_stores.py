"""LMDBs and folders: what is written can be read by BasicSR, what is broken is noticed."""

from __future__ import annotations

import gc
import os
import re
import shutil
import threading
from pathlib import Path

import lmdb
import numpy as np
import pytest

from smsr_plugin.data import lmdb_store
from smsr_plugin.data.lmdb_store import (
    LmdbWriter,
    find_fault,
    open_lmdb,
    read_entry,
    read_meta_info,
)
from smsr_plugin.data.outputs import read_shapes, write_images
from smsr_plugin.images.files import DataError
from smsr_plugin.images.rgb import encode_png
from smsr_plugin.staging import staged


def entry(key: str, height: int, width: int) -> tuple[str, bytes, tuple[int, int, int]]:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return key, encode_png(pixels), (height, width, 3)


ENTRIES = [entry("a_s001", 40, 50), entry("a_s002", 30, 20), entry("b 1", 64, 64)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "x.lmdb"
    folder.mkdir()
    with LmdbWriter(folder) as writer:
        writer.put(ENTRIES[:2])
        writer.put(ENTRIES[2:])
    return folder


def test_lmdb_is_as_basicsr_describes_it(store):
    assert (store / "meta_info.txt").read_text() == (
        "a_s001.png (40,50,3) 1\na_s002.png (30,20,3) 1\nb 1.png (64,64,3) 1\n"
    )
    with lmdb.open(str(store), readonly=True) as env, env.begin() as txn:
        assert dict(txn.cursor()) == {key.encode(): png for key, png, _ in ENTRIES}
    assert find_fault(store) is None
    assert read_meta_info(store) == {key: shape for key, _, shape in ENTRIES}


def test_the_list_of_entries_has_a_largest_size(store, monkeypatch):
    monkeypatch.setattr(lmdb_store, "MAX_META_INFO", 10)
    with pytest.raises(DataError, match="more than 10 bytes"):
        read_meta_info(store)


def test_the_map_grows_with_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_store, "_FIRST_MAP_SIZE", 1 << 15)
    entries = [entry(f"k{i}", 64, 64 + i) for i in range(30)]  # 12 kB each
    with LmdbWriter(tmp_path) as writer:
        for start in range(0, 30, 10):
            writer.put(entries[start : start + 10])
    assert find_fault(tmp_path) is None
    env = open_lmdb(tmp_path)
    assert all(read_entry(env, key) == png for key, png, _ in entries)


def fail(error: BaseException) -> None:
    raise error


def test_an_lmdb_whose_writing_failed_is_not_readable(tmp_path):
    writer = LmdbWriter(tmp_path)
    writer.put(ENTRIES)
    with pytest.raises(RuntimeError, match="stop"), writer:
        fail(RuntimeError("stop"))
    assert "cannot read" in (find_fault(tmp_path) or "")


def test_entries_that_cannot_be_written_raise_oserror(tmp_path):
    with pytest.raises(OSError, match=r"cannot write to .*BAD_VALSIZE"), LmdbWriter(tmp_path) as w:
        w.put([("k" * 600, b"", (1, 1, 3))])


def test_an_lmdb_that_cannot_be_started_raises_oserror(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"x" * 99999)
    with pytest.raises(OSError, match="cannot write to "):
        LmdbWriter(tmp_path)


def cut(store: Path, name: str, size: int) -> None:
    os.truncate(store / name, size)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda s: (s / "meta_info.txt").unlink(), "cannot read"),
        (lambda s: cut(s, "meta_info.txt", 0), "is empty"),
        (lambda s: cut(s, "meta_info.txt", 30), "line 2: expected"),
        (lambda s: (s / "meta_info.txt").write_bytes(b"\xff\n"), "cannot read"),
        (lambda s: cut(s, "meta_info.txt", 23), "entries that meta_info.txt lists"),
        (lambda s: (s / "data.mdb").unlink(), "holds no data.mdb"),
        (lambda s: cut(s, "data.mdb", 0), "damaged or no LMDB"),
        (lambda s: cut(s, "data.mdb", 100), "damaged or no LMDB"),
        (lambda s: cut(s, "data.mdb", (s / "data.mdb").stat().st_size - 1), "cut short"),
        (lambda s: cut(s, "data.mdb", (s / "data.mdb").stat().st_size // 2), "cut short"),
        (lambda s: (s / "data.mdb").write_bytes(b"x" * 99999), "damaged or no LMDB"),
    ],
)
def test_broken_lmdbs_are_noticed_and_named(store, break_it, message):
    break_it(store)
    fault = find_fault(store)
    assert fault is not None
    assert re.search(message, fault)
    assert str(store) in fault


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a_s002", None),
        ("a_s002", ENTRIES[1][1][:-9]),
        ("a_s002", b""),
        ("a_s002", ENTRIES[0][1]),
    ],
)
def test_a_wrong_entry_is_noticed_and_named(store, key, value):
    with lmdb.open(str(store)) as env, env.begin(write=True) as txn:
        if value is None:
            txn.delete(key.encode())
            txn.put(b"other", b"")
        else:
            txn.put(key.encode(), value)
    assert f"the entry {key!r} is missing or damaged" in (find_fault(store) or "")


def test_one_process_shares_one_environment_and_closes_it(store):
    first, second = open_lmdb(store), open_lmdb(store.parent / "." / store.name)
    assert first is second
    assert read_entry(first, "a_s001") == ENTRIES[0][1]
    assert read_entry(first, "nothing") is None
    del first, second
    gc.collect()
    lmdb.open(str(store), readonly=True).close()  # fails while it is open


def test_threads_share_one_environment(store):
    found = []
    threads = [threading.Thread(target=lambda: found.append(open_lmdb(store))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_a_database_that_was_replaced_is_opened_anew(store, tmp_path):
    old = open_lmdb(store)
    shutil.rmtree(store)
    store.mkdir()
    with LmdbWriter(store) as writer:
        writer.put([entry("new", 8, 8)])
    with pytest.raises(DataError, match="replaced while it was in use"):
        read_entry(old, "new")
    del old
    gc.collect()
    assert read_entry(open_lmdb(store), "new") is not None


def test_a_database_that_other_code_has_open_is_named(store):
    with (
        lmdb.open(str(store), readonly=True, lock=False),
        pytest.raises(DataError, match=r"x\.lmdb: cannot open the LMDB .*already open"),
    ):
        open_lmdb(store)


def test_folder_store_tells_whole_files_from_others(tmp_path):
    write_images(tmp_path, ENTRIES)
    (tmp_path / "b 1.png").write_bytes(ENTRIES[2][1][:-1])
    (tmp_path / "short.png").write_bytes(b"abc")
    (tmp_path / "notes.txt").touch()
    assert read_shapes(tmp_path) == {
        "a_s001": (40, 50, 3),
        "a_s002": (30, 20, 3),
        "b 1": None,
        "short": None,
        "notes.txt": None,
    }


def test_a_staged_folder_appears_only_when_complete(tmp_path):
    final = tmp_path / "deep" / "x"
    with staged(final) as folder:
        (folder / "file").write_text("new")
        assert not final.exists()
        assert folder.parent == final.parent
        assert folder.suffix == ".tmp"
    assert (final / "file").read_text() == "new"
    assert list(final.parent.iterdir()) == [final]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_staging_leaves_what_was_there(tmp_path, error):
    final = tmp_path / "x"
    with staged(final) as folder:
        (folder / "file").write_text("old")
    with pytest.raises(error), staged(final):
        fail(error())
    assert (final / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_staging_replaces_and_sweeps_away_what_a_killed_run_left(tmp_path):
    final = tmp_path / "x"
    for name in ("x", "x.0123abcd.tmp", "x.mine.tmp", "xy.0123abcd.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("old")
    with staged(final) as folder:
        (folder / "file").write_text("new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "x.mine.tmp", "xy.0123abcd.tmp"]
    assert (final / "file").read_text() == "new"
