"""Files that survive a kill or a power cut: all the old bytes or all the new ones, on disk."""

from __future__ import annotations

import errno
import os
import re
import secrets
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that `path` holds the old bytes or all the new ones, never a mix.

    The bytes go to a temporary file beside it, to the disk, and are read back before the file gets
    its name; then the name goes to the disk as well.

    Raises:
        OSError: If the file cannot be written, or reads back differently; `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            _forget_cached(file.fileno())
        if temporary.read_bytes() != content:
            raise OSError(errno.EIO, "what was written reads back differently", str(path))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def sweep_temporary(folder: Path) -> list[Path]:
    """Remove what writers that were killed left in a folder, which need not exist; return it."""
    if not folder.is_dir():
        return []
    stale = [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]
    for path in stale:
        path.unlink(missing_ok=True)
    return stale


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
