"""LMDBs of PNG images in BasicSR's layout: writing, checking, reading.

An LMDB is a folder `name.lmdb` with `data.mdb` and `meta_info.txt`. The database maps a key to the
bytes of a PNG; each line of `meta_info.txt` is `key.png (h,w,c) compress_level`.
"""

from __future__ import annotations

import io
import re
import struct
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from weakref import WeakKeyDictionary, WeakValueDictionary

import lmdb

from smsr_plugin.data.lmdb_pages import check_pages
from smsr_plugin.images.files import DataError
from smsr_plugin.images.png import END, SIGNATURE
from smsr_plugin.images.rgb import PNG_COMPRESS_LEVEL
from smsr_plugin.staging import open_regular

DATA = "data.mdb"
META_INFO = "meta_info.txt"
FILES = frozenset({DATA, "lock.mdb", META_INFO})
#: The longest key that an LMDB holds, in bytes.
MAX_KEY = 511
#: Bytes of `meta_info.txt`, about 40 for each image.
MAX_META_INFO = 1 << 26

#: (H, W, C).
Shape = tuple[int, int, int]
#: Device, inode, path.
Identity = tuple[int, int, str]
#: Key, bytes of the PNG, its shape.
Entry = tuple[str, bytes, Shape]

_META_LINE = re.compile(r"(?P<key>[^.]+)\.\w+ \((?P<shape>\d+,\d+,\d+)\) \d+")
#: Grown as needed; some systems reserve the whole map on disk.
_FIRST_MAP_SIZE = 1 << 26
_open_environments: WeakValueDictionary[Identity, lmdb.Environment] = WeakValueDictionary()
#: The bytes that a database needs, as it said when it was opened.
_sizes: WeakKeyDictionary[lmdb.Environment, int] = WeakKeyDictionary()
_opening = threading.Lock()


class LmdbWriter:
    """Fills a new LMDB in an existing, empty folder; a context manager.

    The folder is a readable LMDB only after the block has ended without an exception.

    Raises:
        OSError: If it cannot be written, at construction and at the end of the block as well.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._meta_info: list[str] = []
        # Durable at the end is enough: until then the folder does not have its final name.
        try:
            self._env = lmdb.open(str(folder), map_size=_FIRST_MAP_SIZE, sync=False, lock=False)
        except lmdb.Error as error:
            raise OSError(f"cannot write to {folder}: {error}") from error

    def __enter__(self) -> LmdbWriter:
        return self

    def put(self, entries: Iterable[Entry]) -> None:
        """Add the entries in one transaction.

        Raises:
            OSError: If they cannot be written, as when the disk is full.
        """
        entries = list(entries)
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    for key, png, _ in entries:
                        txn.put(key.encode("ascii"), png)
                break
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except lmdb.Error as error:
                raise OSError(f"cannot write to {self._folder}: {error}") from error
        for key, _, (height, width, channels) in entries:
            line = f"{key}.png ({height},{width},{channels}) {PNG_COMPRESS_LEVEL}\n"
            self._meta_info.append(line)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._env.sync(True)
        except lmdb.Error as sync_error:
            raise OSError(f"cannot write to {self._folder}: {sync_error}") from sync_error
        finally:
            self._env.close()
        if kind is None:
            (self._folder / META_INFO).write_text("".join(self._meta_info), encoding="ascii")


def read_meta_info(folder: Path) -> dict[str, Shape]:
    """Return the shape (H, W, C) of each key that `meta_info.txt` lists.

    Raises:
        DataError: If the file is missing, empty, or a line is not understood or repeats a key.
    """
    path = folder / META_INFO
    shapes: dict[str, Shape] = {}
    for number, line in enumerate(_read_lines(path), start=1):
        match = _META_LINE.fullmatch(line)
        if not match or match["key"] in shapes:
            raise DataError(
                f"{path}, line {number}: expected a new 'key.png (h,w,c) compress_level', "
                f"got {line!r}"
            )
        height, width, channels = map(int, match["shape"].split(","))
        shapes[match["key"]] = (height, width, channels)
    if not shapes:
        raise DataError(f"{path} is empty")
    return shapes


def read_keys(folder: Path) -> set[str]:
    """Return the keys that `meta_info.txt` lists, as BasicSR takes them: up to the first dot.

    Results are named after them, so that a key must not lead out of the folder of the results.

    Raises:
        DataError: If the file cannot be read, or holds a key that is empty, too long, there twice,
            begins with a slash, or has a dot, an empty part or a control character.
    """
    path = folder / META_INFO
    keys = set()
    for number, line in enumerate(_read_lines(path), start=1):
        key = line.split(".")[0]
        parts = key.split("/")
        if not all(parts) or "\\" in key or not key.isprintable() or len(key) > MAX_KEY:
            raise DataError(
                f"{path}, line {number}: expected a key such as 0001_s001.png, got "
                f"{line[:MAX_KEY]!r}"
            )
        name = line.partition(" (")[0]
        if name.count(".") > 1 or key in keys:
            what = "another of its name" if key in keys else "a dot, which BasicSR would cut it at"
            raise DataError(
                f"{path}, line {number}: expected a key without {what}, got {name[:MAX_KEY]!r}; "
                "make the LMDB again with smsr prepare, which puts underscores for dots"
            )
        keys.add(key)
    return keys


def _read_lines(path: Path) -> list[str]:
    try:
        with open_regular(path) as file:
            content = file.read(MAX_META_INFO + 1)
        if len(content) > MAX_META_INFO:
            raise OSError(f"more than {MAX_META_INFO:,} bytes")
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path.parent} is not a usable LMDB: cannot read {path} ({error})"
        raise DataError(message) from error
    # Lines end where BasicSR sees them end, which is not everywhere that `splitlines` does.
    return [line.rstrip("\n") for line in io.StringIO(text, newline=None)]


def open_lmdb(folder: Path) -> lmdb.Environment:
    """Open an LMDB for reading; all users of one process share one environment.

    LMDB refuses to open a database twice in a process. The environment closes when its last user
    lets go of it.

    Raises:
        DataError: If the folder holds no database, a cut or damaged one, or one that other code
            of this process has opened.
        OSError: If the file cannot be read.
    """
    data = folder / DATA
    if not data.is_file():
        raise DataError(f"{folder} is not an LMDB: it holds no {DATA}")
    identity = _identity(data)
    with _opening:
        env = _open_environments.get(identity)
        if env is None:
            check_pages(data)
            try:
                env = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
            except lmdb.Error as error:
                raise DataError(f"{folder}: cannot open the LMDB ({error})") from error
            _open_environments[identity] = env
            _sizes[env] = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    _check_whole(env)
    return env


def _check_whole(env: lmdb.Environment) -> None:
    data = Path(env.path()) / DATA
    try:
        identity, size = _identity(data), data.stat().st_size
    except OSError:
        identity, size = None, 0
    if identity is None or _open_environments.get(identity) is not env:
        raise DataError(f"{data} was removed or replaced while it was in use")
    # Reading beyond the end of a cut file would end the process with a bus error; even LMDB's own
    # figures are read from the file.
    if size < _sizes[env]:
        raise DataError(f"{data.parent}: {DATA} is cut short; make or download the LMDB again")


def _identity(data: Path) -> Identity:
    status = data.stat()
    return status.st_dev, status.st_ino, str(data.resolve())


def read_entry(env: lmdb.Environment, key: str) -> bytes | None:
    """Return the value of a key, or None if there is none.

    Raises:
        DataError: If the database is damaged, or was removed, replaced or cut since it was opened
            by `open_lmdb`.
    """
    _check_whole(env)
    try:
        with env.begin() as txn:
            return txn.get(key.encode())
    except lmdb.Error as error:
        raise DataError(f"{env.path()}: cannot read {key!r} ({error})") from error


def find_fault(folder: Path) -> str | None:
    """Say what is wrong with an LMDB, or return None if it is whole.

    Each entry must be a PNG, complete from its first to its last bytes, and of the shape that
    `meta_info.txt` gives; the pixels are not decoded.
    """
    try:
        shapes = read_meta_info(folder)
        env = open_lmdb(folder)
    except DataError as error:
        return str(error)
    try:
        with env.begin(buffers=True) as txn:
            if txn.stat()["entries"] != len(shapes):
                return f"{folder} does not hold the entries that {META_INFO} lists"
            for key, shape in shapes.items():
                value = txn.get(key.encode())
                if value is None or shape_of(value, value) != shape:
                    return f"{folder}: the entry {key!r} is missing or damaged"
    except lmdb.Error as error:
        return f"{folder}: cannot read the LMDB ({error})"
    return None


def shape_of(head: bytes | memoryview, tail: bytes | memoryview) -> tuple[int, int, int] | None:
    """Return (H, W, C) of a whole PNG of 8-bit grey or RGB, or None if it is cut or another file.

    Args:
        head: The first 26 bytes or more.
        tail: The last 12 bytes or more.
    """
    if len(head) < 26 or head[:8] != SIGNATURE or tail[-len(END) :] != END:
        return None
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
    channels = {0: 1, 2: 3}.get(colour)
    return (height, width, channels) if depth == 8 and channels else None
