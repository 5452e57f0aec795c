"""Files that are read only if they are files, and written so that they appear only when whole."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

#: Names of files that are being written.
_HIDDEN = re.compile(r"\.[0-9a-f]{16}\.tmp")
#: Where the file system knows no locks, files that old, in seconds, are taken for left behind.
OLD = 24 * 60 * 60


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, and nothing that only bears a name like one.

    Opening a pipe would wait for someone to write to it, and a device may have no end.

    Raises:
        OSError: If there is no such file, or it is a folder, a pipe, a socket or a device.
        ValueError: If the name holds a zero byte.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file", str(path))
    return path.open("rb")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors say of which file they are: the system does not where only a number is written to.

    A full disk is such an error.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def staged(final: Path) -> Iterator[Path]:
    """Give a new folder that replaces `final` if the block succeeds and vanishes if it fails.

    What a killed run has left behind is swept away first. Of two runs at the same time, one
    fails; neither mixes its files with the other's.

    Raises:
        OSError: If the folder cannot be made or put in place.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final)
    new = _temporary(final)
    new.mkdir()
    try:
        yield new
        _replace(final, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def staged_file(final: Path) -> Iterator[Path]:
    """Give a path for a new file that replaces `final` if the block succeeds, and else vanishes.

    The folder is made if it is not there. A link under the final name is replaced, not followed.

    Raises:
        OSError: If the file cannot be made or put in place.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with _hidden(final) as new:
        yield new
        new.replace(final)


def replace_file(final: Path, content: bytes) -> None:
    """Write a file so that it holds the old bytes or all the new ones, also if the power fails.

    The bytes go to a temporary file beside it, to the disk, and are read back before the file gets
    its name; then the name goes to the disk as well. What killed writers left beside it is removed.

    Raises:
        OSError: If it cannot be written, or reads back differently; `final` is as it was.
        ValueError: If the name holds a zero byte.
    """
    with suppress(OSError):  # it may be another user's, and is in nobody's way
        sweep_temporary(final.parent)
    with naming(final), _hidden(final) as new:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            _forget_cached(file.fileno())
        if new.read_bytes() != content:
            raise OSError(errno.EIO, "what was written reads back differently", str(final))
        new.replace(final)
    _sync_folder(final.parent)


def sweep_temporary(folder: Path) -> list[Path]:
    """Remove the files that killed writers left in a folder, which need not exist; return them.

    Those that another process is writing now are left alone; where the file system knows no locks,
    all that are less than a day old.

    Raises:
        OSError: If the folder may not be listed, or a file not be removed.
    """
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _HIDDEN.fullmatch(path.name)]
    return [path for path in found if _remove_if_unlocked(path)]


def _remove_if_unlocked(path: Path) -> bool:
    if fcntl is None:  # on Windows an open file cannot be removed
        return _remove_if_old(path)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        locked = _lock(descriptor)
        if locked is None:
            locked = time.time() - os.fstat(descriptor).st_mtime > OLD
        if not locked:
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def _remove_if_old(path: Path) -> bool:
    try:
        if time.time() - path.stat().st_mtime <= OLD:
            return False
    except FileNotFoundError:
        return False
    path.unlink(missing_ok=True)
    return True


def _lock(descriptor: int) -> bool | None:
    """Lock a file until its descriptor is closed, or the process ends.

    Returns:
        Whether that went; None where the system or the file system knows no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        return None
    return True


def _forget_cached(descriptor: int) -> None:
    # Else reading back would compare the bytes with their copy in memory.
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems know no such thing
            raise
    finally:
        os.close(descriptor)


def _replace(final: Path, new: Path) -> None:
    if not final.exists():
        new.replace(final)
        return
    # A folder that is not empty cannot be replaced in one step.
    old = _temporary(final)
    final.replace(old)
    try:
        new.replace(final)
    except OSError:
        old.replace(final)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _hidden(final: Path) -> Iterator[Path]:
    """Give an empty file beside the final one, which a sweep leaves alone; remove it at the end."""
    while True:
        new = final.with_name(f".{os.urandom(8).hex()}.tmp")  # the final name may be long
        try:  # from before there is a file: Ctrl-C may come right after it is made
            with new.open("xb") as file:
                # Between these lines a sweep may have taken it for one that was left.
                if _lock(file.fileno()) is not False and new.exists():
                    if fcntl is None:  # on Windows an open file cannot be renamed
                        file.close()
                    yield new
                    return
        finally:
            new.unlink(missing_ok=True)


def _temporary(final: Path) -> Path:
    return final.with_name(f"{final.name}.{os.urandom(4).hex()}.tmp")


def _sweep(final: Path) -> None:
    pattern = re.compile(re.escape(final.name) + r"\.[0-9a-f]{8}\.tmp")
    for path in final.parent.iterdir():
        if pattern.fullmatch(path.name):
            shutil.rmtree(path)
