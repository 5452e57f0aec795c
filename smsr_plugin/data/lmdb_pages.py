"""The pages of an LMDB file, checked before LMDB follows them.

LMDB maps the file into memory and trusts the offsets and lengths in it: a damaged or malicious
file can end the process with a bus error, which nothing catches. The layout is that of LMDB 0.9
with 64-bit numbers in the machine's byte order, which is all that LMDB itself opens.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

from smsr_plugin.images.files import DataError
from smsr_plugin.staging import open_regular

MAGIC = 0xBEEFC0DE
VERSION = 1
NO_PAGE = 2**64 - 1
#: Page sizes that LMDB writes.
MIN_PAGE, MAX_PAGE = 256, 65536
BRANCH, LEAF, OVERFLOW = 1, 2, 4
#: Of a node: its value is on overflow pages. Its other flags are for what images never need.
BIG = 1

_PAGE = struct.Struct("=QHHHH")  # number, padding, flags, then the bounds of the free space
_PAGES = struct.Struct("=I")  # in place of the bounds: how many pages an overflow page begins
_META = struct.Struct("=IIQQ")  # magic, version, address, size of the map
_DATABASE = struct.Struct("=IHHQQQQQ")  # page size, flags, depth, four counts, root
_END = struct.Struct("=QQ")  # last page, transaction
_NODE = struct.Struct("=HHHH")  # size or page number, in two parts; flags; size of the key
_NUMBER = struct.Struct("=Q")


class _Fault(Exception):
    """What is wrong with the file."""


class _CutShort(_Fault):
    """The end of the file is missing."""


class _Meta(NamedTuple):
    page_size: int
    flags: int  #: Of the main database.
    root: int
    last_page: int
    transaction: int


def check_pages(path: Path) -> None:
    """Walk through the tree of an LMDB file and check that all of it lies inside the file.

    Values are not read. One with 32 000 images takes tenths of a second.

    Raises:
        DataError: If the file is damaged, cut short, or no LMDB.
        OSError: If it cannot be read.
    """
    with open_regular(path) as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                _check_tree(view)
        except (_Fault, struct.error, ValueError) as fault:  # ValueError: the file is empty
            cut = isinstance(fault, _CutShort)
            found = "cut short" if cut else f"damaged or no LMDB ({fault})"
            raise DataError(
                f"{path.parent}: {path.name} is {found}; make or download the LMDB again"
            ) from fault


def _check_tree(view: mmap.mmap) -> None:
    first = _meta(view, 0)
    second = _meta(view, first.page_size)
    meta = max(first, second, key=lambda meta: meta.transaction)
    if not MIN_PAGE <= meta.page_size <= MAX_PAGE or second.page_size != first.page_size:
        raise _Fault(f"its pages have {meta.page_size} bytes")
    if (meta.last_page + 1) * meta.page_size > len(view):
        raise _CutShort
    if meta.flags:
        raise _Fault("its keys are of another kind")
    pending = [] if meta.root == NO_PAGE else [meta.root]
    seen = set(pending)
    while pending:
        below = _children(view, pending.pop(), meta)
        if len({*below}) < len(below) or not seen.isdisjoint(below):
            raise _Fault("a page occurs twice in its tree")
        seen.update(below)
        pending += below


def _meta(view: mmap.mmap, start: int) -> _Meta:
    position = start + _PAGE.size
    magic, version, _, _ = _META.unpack_from(view, position)
    if (magic, version) != (MAGIC, VERSION):
        raise _Fault("it does not begin like one")
    position += _META.size
    page_size = _DATABASE.unpack_from(view, position)[0]  # kept with the list of free pages
    _, flags, _, *_, root = _DATABASE.unpack_from(view, position + _DATABASE.size)
    last_page, transaction = _END.unpack_from(view, position + 2 * _DATABASE.size)
    return _Meta(page_size, flags, root, last_page, transaction)


def _children(view: mmap.mmap, number: int, meta: _Meta) -> list[int]:
    """Check a page of the tree and return the numbers of those below it."""
    flags, lower, upper = _header(view, number, meta)
    if flags not in (BRANCH, LEAF):
        raise _Fault(f"page {number} is no page of a tree")
    if not _PAGE.size <= lower <= upper <= meta.page_size or lower % 2:
        raise _Fault(f"page {number} has wrong bounds")
    start = number * meta.page_size
    below = []
    for (pointer,) in struct.iter_unpack("=H", view[start + _PAGE.size : start + lower]):
        if not upper <= pointer <= meta.page_size - _NODE.size:
            raise _Fault(f"page {number} points out of itself")
        low, high, node_flags, key_size = _NODE.unpack_from(view, start + pointer)
        end = pointer + _NODE.size + key_size
        if flags == BRANCH:
            below.append(low | high << 16 | node_flags << 32)
        elif node_flags == BIG:
            end += _NUMBER.size
            if end <= meta.page_size:
                (value,) = _NUMBER.unpack_from(view, start + end - _NUMBER.size)
                _check_value(view, value, low | high << 16, meta)
        elif node_flags == 0:
            end += low | high << 16
        else:
            raise _Fault(f"page {number} holds something else than values")
        if end > meta.page_size:
            raise _Fault(f"page {number} has an entry that reaches out of it")
    return below


def _check_value(view: mmap.mmap, number: int, size: int, meta: _Meta) -> None:
    flags = _header(view, number, meta)[0]
    (count,) = _PAGES.unpack_from(view, number * meta.page_size + _PAGE.size - _PAGES.size)
    fits = _PAGE.size + size <= count * meta.page_size and number + count - 1 <= meta.last_page
    if flags != OVERFLOW or not fits:
        raise _Fault(f"page {number} does not hold the value it should")


def _header(view: mmap.mmap, number: int, meta: _Meta) -> tuple[int, int, int]:
    """Return flags and the bounds of the free space of a page."""
    if not 2 <= number <= meta.last_page:  # the first two describe the file
        raise _Fault(f"there is no page {number}")
    own_number, _, flags, lower, upper = _PAGE.unpack_from(view, number * meta.page_size)
    if own_number != number:
        raise _Fault(f"page {number} is called {own_number}")
    return flags, lower, upper
