"""Folders and files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    new = _hidden(final)
    try:
        yield new
        new.replace(final)
    finally:
        new.unlink(missing_ok=True)


def replace_file(final: Path, content: bytes) -> None:
    """Write a file so that it holds the old bytes or all the new ones, also if the power fails.

    Raises:
        OSError: If it cannot be written.
        ValueError: If the name holds a zero byte.
    """
    new = _hidden(final)
    try:
        with new.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(final)
    finally:
        new.unlink(missing_ok=True)


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


def _hidden(final: Path) -> Path:
    return final.with_name(f".{secrets.token_hex(8)}.tmp")  # the final name may be of full length


def _temporary(final: Path) -> Path:
    return final.with_name(f"{final.name}.{secrets.token_hex(4)}.tmp")


def _sweep(final: Path) -> None:
    pattern = re.compile(re.escape(final.name) + r"\.[0-9a-f]{8}\.tmp")
    for path in final.parent.iterdir():
        if pattern.fullmatch(path.name):
            shutil.rmtree(path)
