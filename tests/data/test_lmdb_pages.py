"""A crafted data.mdb is refused before LMDB, which would follow it out of the file, opens it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from smsr_plugin.data.lmdb_pages import check_pages
from smsr_plugin.data.lmdb_store import LmdbWriter, find_fault, read_keys
from smsr_plugin.images.files import DataError
from smsr_plugin.images.rgb import encode_png

PAGE = 4096
#: Parts of a page's header, after its number: padding, flags, bounds of the free space.
FLAGS, LOWER, UPPER = 10, 12, 14
HEADER = 16
BRANCH, LEAF, OVERFLOW = 1, 2, 4
#: Where a meta page keeps the page size, and what it says of the main database and the file.
PAGE_SIZE, ROOT, LAST_PAGE = 40, 128, 136


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """Return a file with 300 images, small ones and others that need pages of their own."""
    folder, rng = tmp_path_factory.mktemp("x.lmdb"), np.random.default_rng(0)
    with LmdbWriter(folder) as writer:
        images = [rng.integers(0, 256, (4 + n % 56, 20, 3), np.uint8) for n in range(300)]
        writer.put((f"{n:04}", encode_png(i), (*i.shape[:2], 3)) for n, i in enumerate(images))
    return (folder / "data.mdb").read_bytes()


def pages(content: bytes | bytearray, kind: int) -> Iterator[int]:
    """Yield where the pages of a kind begin."""
    for start in range(2 * PAGE, len(content), PAGE):
        number, _, flags = struct.unpack_from("=QHH", content, start)
        if number == start // PAGE and flags == kind:
            yield start


def entries(content: bytes | bytearray, start: int) -> Iterator[int]:
    """Yield where the entries of a page begin."""
    (lower,) = struct.unpack_from("=H", content, start + LOWER)
    for (pointer,) in struct.iter_unpack("=H", content[start + HEADER : start + lower]):
        yield start + pointer


def fault_of(folder: Path, content: bytes | bytearray) -> str:
    (folder / "data.mdb").write_bytes(content)
    with pytest.raises(DataError) as caught:
        check_pages(folder / "data.mdb")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_lmdb_wrote_pass(whole, tmp_path):
    (tmp_path / "data.mdb").write_bytes(whole)
    check_pages(tmp_path / "data.mdb")
    assert min(len([*pages(whole, kind)]) for kind in (BRANCH, LEAF, OVERFLOW)) > 0
    (tmp_path / "empty").mkdir()
    with LmdbWriter(tmp_path / "empty"):
        pass
    check_pages(tmp_path / "empty" / "data.mdb")


@pytest.mark.parametrize(
    ("kind", "place", "form", "value", "message"),
    [
        (LEAF, LOWER, "=H", 60000, "wrong bounds"),
        (LEAF, LOWER, "=H", 17, "wrong bounds"),
        (BRANCH, UPPER, "=H", 3, "wrong bounds"),
        (BRANCH, UPPER, "=H", 60000, "wrong bounds"),
        (LEAF, FLAGS, "=H", 0x20, "no page of a tree"),
        (LEAF, 0, "=Q", 5000, "is called 5000"),
        (BRANCH, HEADER, "=H", 65535, "points out of itself"),
        (LEAF, HEADER, "=H", PAGE - 4, "points out of itself"),
        (OVERFLOW, FLAGS, "=H", LEAF, "does not hold the value"),
        (OVERFLOW, LOWER, "=I", 2**31, "does not hold the value"),
        (OVERFLOW, LOWER, "=I", 0, "does not hold the value"),
    ],
)
def test_pages_that_lead_astray_are_refused(whole, tmp_path, kind, place, form, value, message):
    content = bytearray(whole)
    for start in pages(whole, kind):
        struct.pack_into(form, content, start + place, value)
    assert message in fault_of(tmp_path, content)


@pytest.mark.parametrize(
    ("kind", "place", "form", "value", "message"),
    [
        (LEAF, 0, "=I", 2**32 - 1, "reaches out|does not hold the value"),
        (LEAF, 6, "=H", 65535, "reaches out"),
        (LEAF, 4, "=H", 2, "something else than values"),
        (LEAF, 12, "=Q", 2**60, "there is no page"),  # of the value: behind the key of 4 bytes
        (BRANCH, 0, "=I", 2**31, "there is no page"),
        (BRANCH, 0, "=I", 1, "there is no page 1"),
        (BRANCH, 6, "=H", 5000, "reaches out"),
    ],
)
def test_entries_that_lead_astray_are_refused(whole, tmp_path, kind, place, form, value, message):
    content = bytearray(whole)
    for start in pages(whole, kind):
        for entry in islice(entries(whole, start), 1 if kind == BRANCH else None):
            small = struct.unpack_from("=H", whole, entry + 4) == (0,)
            if not (place == 12 and small):
                struct.pack_into(form, content, entry + place, value)
    fault = fault_of(tmp_path, content)
    assert any(part in fault for part in message.split("|"))


def test_a_tree_that_bites_its_tail_is_refused(whole, tmp_path):
    content = bytearray(whole)
    for start in pages(whole, BRANCH):
        for entry in entries(whole, start):
            struct.pack_into("=HHH", content, entry, start // PAGE, 0, 0)
    assert "occurs twice" in fault_of(tmp_path, content)


@pytest.mark.parametrize(
    ("place", "form", "value", "message"),
    [
        (PAGE_SIZE, "=I", 0, "begin like one|bytes"),
        (PAGE_SIZE, "=I", 2**31, "buffer"),
        (ROOT, "=Q", 10**6, "there is no page"),
        (LAST_PAGE, "=Q", 10**6, "cut short"),
        (HEADER, "=I", 7, "does not begin like one"),
    ],
)
def test_wrong_descriptions_of_the_file_are_refused(whole, tmp_path, place, form, value, message):
    content = bytearray(whole)
    for start in (0, PAGE):
        struct.pack_into(form, content, start + place, value)
    fault = fault_of(tmp_path, content)
    assert any(part in fault for part in message.split("|"))


def test_a_file_that_kills_lmdb_is_an_error_of_ours(whole, tmp_path):
    content = bytearray(whole)
    for start in pages(whole, LEAF):
        for entry in entries(whole, start):
            struct.pack_into("=I", content, entry, 2**32 - 1)
    (tmp_path / "data.mdb").write_bytes(content)
    (tmp_path / "meta_info.txt").write_text("0050.png (54,20,3) 1\n")
    assert "damaged or no LMDB" in (find_fault(tmp_path) or "")
    # The file is indeed dangerous, to LMDBs that do not check it themselves at least.
    read = (
        "import lmdb, sys; e = lmdb.open(sys.argv[1], readonly=True, lock=False)\n"
        "for n in range(300): e.begin().get(b'%04d' % n)"
    )
    plain = subprocess.run([sys.executable, "-c", read, tmp_path], capture_output=True, check=False)
    assert plain.returncode != 0


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/x",
        "/etc/x",
        "a/../b",
        "",
        "a\0b",
        "a\x1bb",
        "k" * 600,
        "a//b",
        "a\\b",
        "a\u2028b",
    ],
)
def test_keys_that_lead_out_or_are_no_names_are_refused(tmp_path, key):
    path = tmp_path / "meta_info.txt"
    path.write_bytes(f"good.png (4,4,3) 1\n{key}.png (4,4,3) 1\n".encode())
    with pytest.raises(
        DataError, match=r"meta_info\.txt, line 2: expected a key such as"
    ) as caught:
        read_keys(tmp_path)
    assert len(str(caught.value)) < 900 + len(str(tmp_path))


def test_keys_of_folders_are_taken(tmp_path):
    (tmp_path / "meta_info.txt").write_text("000/0001.png (4,4,3) 1\nb 1.png (4,4,3) 1\n")
    assert read_keys(tmp_path) == {"000/0001", "b 1"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.b.png (4,4,3) 1", "without a dot, which BasicSR would cut it at, got 'a.b.png'; make"),
        ("v1.2/0001.png (4,4,3) 1", "without a dot, which BasicSR would cut it at"),
        ("good.jpg (4,4,3) 1", "without another of its name, got 'good.jpg'; make the LMDB again"),
    ],
)
def test_keys_that_basicsr_would_take_for_others_are_refused(tmp_path, line, message):
    (tmp_path / "meta_info.txt").write_text(f"good.png (4,4,3) 1\n{line}\n")
    with pytest.raises(DataError, match=r"meta_info\.txt, line 2: expected a key ") as caught:
        read_keys(tmp_path)
    assert message in str(caught.value)


def test_a_list_of_keys_that_is_a_device_is_refused(tmp_path):
    (tmp_path / "meta_info.txt").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="a device, not a file"):
        read_keys(tmp_path)
    os.mkfifo(tmp_path / "data.mdb")
    with pytest.raises(OSError, match="a pipe"):
        check_pages(tmp_path / "data.mdb")
