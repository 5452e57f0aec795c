"""Folders of PNG images, named by key: writing and checking."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from smsr_plugin.data.lmdb_store import Entry, Shape
from smsr_plugin.images.png_chunks import shape_of

_HEAD = 26
_TAIL = 12


def write_images(folder: Path, entries: Iterable[Entry]) -> None:
    """Write the entries as `key.png`.

    Raises:
        OSError: If a file cannot be written.
    """
    for key, png, _ in entries:
        (folder / f"{key}.png").write_bytes(png)


def read_shapes(folder: Path) -> dict[str, Shape | None]:
    """Return the shape (H, W, C) of each file `key.png` by key, None for a cut or other file.

    Files that are not PNGs appear under their full name, with None.
    """
    shapes: dict[str, Shape | None] = {}
    for path in sorted(folder.iterdir()):
        is_png = path.suffix == ".png" and path.is_file()
        shapes[path.stem if is_png else path.name] = _shape(path) if is_png else None
    return shapes


def _shape(path: Path) -> Shape | None:
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if file.seek(0, os.SEEK_END) < _HEAD:
            return None
        file.seek(-_TAIL, os.SEEK_END)
        return shape_of(head, file.read())
