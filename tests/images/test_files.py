"""Folders are searched for images, and what is left out is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smsr_plugin.images import files
from smsr_plugin.images.files import DataError, left_out, list_images, search


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_images_are_listed_in_order_and_nothing_else(tmp_path):
    names = ["a.jpg", "b.PNG", "c.jfif", "d.jpe", "e.gif", "f.pgm"]
    touch(*(tmp_path / name for name in [*reversed(names), "notes.txt", ".hidden.png"]))
    (tmp_path / "folder.png").mkdir()
    listing = list_images(tmp_path)
    assert [path.name for path in listing.paths] == names
    assert listing.notes() == []


def test_pipes_are_no_images_and_broken_links_are_left_to_the_reader(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="holds no images"):
        list_images(tmp_path)
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert list_images(tmp_path).paths == [tmp_path / "loop.png"]


@pytest.mark.parametrize(("name", "message"), [("", "holds no images"), ("no", "is not a folder")])
def test_missing_and_empty_folders_are_named(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        list_images(tmp_path / name)


def test_what_is_left_out_is_said(tmp_path):
    touch(tmp_path / "a.png", tmp_path / "b.HEIC", tmp_path / "c.avif", tmp_path / "d.txt")
    touch(tmp_path / "with/e.png", tmp_path / "without/f.txt", tmp_path / ".hidden/g.png")
    listing = list_images(tmp_path)
    assert listing.paths == [tmp_path / "a.png"]
    assert listing.notes("--recursive") == [
        f"left out, of kinds that are not read: {tmp_path}/b.HEIC, {tmp_path}/c.avif",
        f"left out, folders inside, which only --recursive searches: {tmp_path}/with",
    ]
    assert listing.notes()[1] == f"left out, folders inside: {tmp_path}/with"
    assert left_out([tmp_path, tmp_path / "a.png"]) == listing.notes()
    deep = list_images(tmp_path, recursive=True)
    assert deep.paths == [tmp_path / "a.png", tmp_path / "with/e.png"]
    assert len(deep.notes()) == 1
    assert list_images(tmp_path, True, {(tmp_path / "with").resolve()}).paths == listing.paths


def test_an_empty_folder_tells_where_images_are(tmp_path):
    touch(tmp_path / "inside/a.png", tmp_path / "b.jxl")
    with pytest.raises(DataError, match=r"no images \(.*read: .*b\.jxl; .*inside: .*inside"):
        list_images(tmp_path)


def test_many_names_are_counted(tmp_path):
    touch(tmp_path / "a.png", *(tmp_path / f"{number}.heic" for number in range(8)))
    (note,) = list_images(tmp_path).notes()
    assert note.endswith("4.heic and 3 more")


def test_folders_that_may_not_be_listed_are_said(tmp_path, monkeypatch):
    touch(tmp_path / "a.png", tmp_path / "closed/b.png")
    scandir = os.scandir

    def refusing(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(files.os, "scandir", refusing)
    monkeypatch.setattr(files.os, "listdir", refusing)
    for recursive in (False, True):
        listing = search(tmp_path, recursive)
        assert listing.paths == [tmp_path / "a.png"]
        assert listing.notes() == [f"left out, folders that may not be listed: {tmp_path}/closed"]
    with pytest.raises(DataError, match="closed cannot be listed: Permission denied"):
        search(tmp_path / "closed", False)


def test_names_are_neutralised(tmp_path):
    touch(tmp_path / "a.png", tmp_path / "\x1b[2J\n.heic")
    (note,) = list_images(tmp_path).notes()
    assert note.endswith(r"\x1b[2J\n.heic")
