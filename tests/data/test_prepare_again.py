"""Preparation that finds something there: whole, broken, newer, of others."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb
import pytest
from prepared_data import read_lmdb, small_request, snapshot, states

from smsr_plugin.data.entries import Grid
from smsr_plugin.data.lmdb_store import LmdbWriter, find_fault
from smsr_plugin.data.outputs import State
from smsr_plugin.data.prepare import prepare
from smsr_plugin.images.files import DataError


def test_a_second_run_keeps_everything_and_more_scales_are_added(root):
    assert set(states(prepare(small_request(root))).values()) == {State.MISSING}
    before = snapshot(root)
    assert set(states(prepare(small_request(root))).values()) == {State.WHOLE}
    assert snapshot(root) == before
    found = states(prepare(small_request(root, scales=(2, 3, 4), folders=True)))
    assert {name for name, state in found.items() if state is State.MISSING} == {
        "DIV2K_train_HR_sub",
        "X2_sub",
        "X3_sub",
        "X4_sub",
        "DIV2K_train_LR_bicubic_X4_sub.lmdb",
        "DIV2K_valid_LR_bicubic_X4.lmdb",
    }
    after = snapshot(root)
    assert {name: after[name] for name in before} == before


def test_images_that_are_newer_than_what_is_kept_are_noted(root):
    assert prepare(small_request(root)).notes == []
    assert prepare(small_request(root)).notes == []
    made = (root / "DIV2K_train_HR_sub.lmdb/meta_info.txt").stat().st_mtime
    os.utime(root / "DIV2K_train_HR/0002.png", (made + 10, made + 10))
    (note,) = prepare(small_request(root, scales=(2, 3, 4))).notes
    assert note.startswith(f"1 image is newer than {root}/DIV2K_train_")
    assert note.endswith("which is kept, the first " + f"{root}/DIV2K_train_HR/0002.png: " + (
        "--overwrite makes all anew"
    ))  # fmt: skip
    assert prepare(small_request(root, overwrite=True)).notes == []


def shorten_meta_info(folder: Path) -> None:
    lines = (folder / "meta_info.txt").read_text().splitlines(keepends=True)
    (folder / "meta_info.txt").write_text("".join(lines[:-1]))


def cut_data(folder: Path) -> None:
    os.truncate(folder / "data.mdb", (folder / "data.mdb").stat().st_size // 2)


def cut_entry(folder: Path) -> None:
    with lmdb.open(str(folder), lock=False) as env, env.begin(write=True) as txn:
        txn.put(b"0001_s003", txn.get(b"0001_s003")[:-3])


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize("break_it", [shorten_meta_info, cut_data, cut_entry, empty])
def test_a_broken_lmdb_is_made_again(root, break_it):
    prepare(small_request(root))
    folder = root / "DIV2K_train_LR_bicubic_X2_sub.lmdb"
    before = read_lmdb(folder)
    break_it(folder)
    found = states(prepare(small_request(root)))
    assert found.pop(folder.name) is State.BROKEN
    assert set(found.values()) == {State.WHOLE}
    after = read_lmdb(folder)
    assert after.keys() == before.keys()
    assert all((after[key] == before[key]).all() for key in before)


def test_a_broken_folder_is_made_again(root):
    prepare(small_request(root, folders=True))
    before = snapshot(root)
    os.truncate(root / "DIV2K_train_HR_sub" / "0001_s002.png", 99)
    (root / "DIV2K_train_LR_bicubic" / "X3_sub" / "0002_s001.png").unlink()
    found = states(prepare(small_request(root, folders=True)))
    assert {name for name, s in found.items() if s is State.BROKEN} == {
        "DIV2K_train_HR_sub",
        "X3_sub",
    }
    assert snapshot(root) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_an_interrupted_run_leaves_no_trace_and_can_be_repeated(root, monkeypatch, error):
    before = snapshot(root)
    put, calls = LmdbWriter.put, []

    def failing_put(self, entries):
        calls.append(entries)
        if len(calls) == 5:  # the second image
            raise error
        put(self, entries)

    with monkeypatch.context() as patch:
        patch.setattr(LmdbWriter, "put", failing_put)
        with pytest.raises((KeyboardInterrupt, OSError)):
            prepare(small_request(root, folders=True))
    assert snapshot(root) == before
    assert not list(root.rglob("*.tmp"))
    prepare(small_request(root, folders=True))
    assert find_fault(root / "DIV2K_train_HR_sub.lmdb") is None


def test_what_a_finished_split_has_written_survives_a_failure_of_the_next(root):
    image = root / "DIV2K_valid_HR" / "0802.png"
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1  # the header is whole, the pixels are not
    image.write_bytes(content)
    with pytest.raises(DataError, match=r"0802\.png"):
        prepare(small_request(root))
    assert find_fault(root / "DIV2K_train_HR_sub.lmdb") is None
    assert not list(root.glob("DIV2K_valid_*.lmdb"))


def other_settings(root: Path) -> Path:
    prepare(small_request(root, grid=Grid(12, 12)))
    return root / "DIV2K_train_HR_sub.lmdb"


def other_images(root: Path) -> Path:
    (root / "DIV2K_train_HR_sub.lmdb").mkdir()
    with LmdbWriter(root / "DIV2K_train_HR_sub.lmdb") as writer:
        writer.put([("face", b"", (9, 9, 3))])
    return root / "DIV2K_train_HR_sub.lmdb"


def other_files(root: Path) -> Path:
    (root / "DIV2K_train_HR_sub").mkdir()
    (root / "DIV2K_train_HR_sub" / "thesis.txt").touch()
    return root / "DIV2K_train_HR_sub"


def a_file(root: Path) -> Path:
    (root / "DIV2K_valid_HR.lmdb").touch()
    return root / "DIV2K_valid_HR.lmdb"


@pytest.mark.parametrize("occupy", [other_settings, other_images, other_files, a_file])
def test_what_is_not_ours_is_replaced_only_on_demand(root, occupy):
    taken = occupy(root)
    before = snapshot(root)
    with pytest.raises(
        DataError, match=f"{taken.name}: there already|{taken.name}, .*there already"
    ):
        prepare(small_request(root, folders=True))
    assert snapshot(root) == before
    prepare(small_request(root, folders=True, overwrite=True))
    assert set(states(prepare(small_request(root, folders=True))).values()) == {State.WHOLE}
