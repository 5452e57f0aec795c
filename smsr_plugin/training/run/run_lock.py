"""One training at a time in the folder of an experiment."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smsr_plugin.training.options.errors import OptionError

try:
    import fcntl
except ImportError:  # Windows, where two trainings are not kept apart
    fcntl = None


@contextmanager
def only_training_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of the folder of an experiment while the block runs.

    The lock is on a file beside the folder, `.NAME.lock`, because a fresh start renames the
    folder. The kernel releases it when the process ends, however it ends; the file stays. It is a
    POSIX record lock: workers do not inherit it, so that one that outlives a killed training for
    some seconds does not hold it. On NFS it works between machines if the server supports locks;
    where a file system has none, the training runs without.

    Raises:
        OptionError: If another process has the lock, named by its number and machine, or the
            file cannot be made.
    """
    if fcntl is None:
        yield
        return
    path = folder.with_name(f".{folder.name}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Not through a link: what is written would go elsewhere.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # either, by POSIX
            holder = os.read(descriptor, 256).decode("utf-8", "replace").strip()
            raise OptionError(
                f"{folder} is in use by another training ({holder or 'unknown process'}); wait "
                "for it, stop it, or give this one another name"
            ) from error
        except OSError:
            yield
            return
        with suppress(OSError):  # on a full disk the others are refused without a name
            os.truncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(descriptor)
