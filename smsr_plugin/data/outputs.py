"""The LMDBs and folders that preparation makes, named as BasicSR's DIV2K options expect them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

from smsr_plugin.data.entries import HR_SCALE
from smsr_plugin.data.lmdb_store import (
    FILES,
    META_INFO,
    Entry,
    LmdbWriter,
    Shape,
    find_fault,
    read_meta_info,
    shape_of,
)
from smsr_plugin.images.files import DataError
from smsr_plugin.staging import staged

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


Write = Callable[[Iterable[Entry]], None]


class State(Enum):
    """How an output is found before preparation."""

    MISSING = "not there"
    WHOLE = "complete and readable"
    BROKEN = "incomplete or damaged"
    FOREIGN = "holds something else"


@dataclass(frozen=True)
class Output:
    """One LMDB, or one folder of PNGs.

    Attributes:
        path: Its folder; an LMDB ends in `.lmdb`.
        split: "train" or "valid".
        scale: `HR_SCALE` or that of its LR images.
        shapes: (H, W, C) of each image by key.
    """

    path: Path
    split: str
    scale: int
    shapes: Mapping[str, Shape]

    @property
    def is_lmdb(self) -> bool:
        """Whether this is an LMDB rather than a folder of files."""
        return self.path.suffix == ".lmdb"

    @property
    def made_at(self) -> float:
        """When it was written, seconds since the epoch."""
        return (self.path / META_INFO if self.is_lmdb else self.path).stat().st_mtime

    def state(self) -> State:
        """Look at what is there under the output's name."""
        if not self.path.exists():
            return State.MISSING
        if not self.path.is_dir():
            return State.FOREIGN
        return self._lmdb_state() if self.is_lmdb else self._folder_state()

    def _lmdb_state(self) -> State:
        if not {path.name for path in self.path.iterdir()} <= FILES:
            return State.FOREIGN
        try:
            found = read_meta_info(self.path)
        except DataError:
            return State.BROKEN
        if not found.items() <= self.shapes.items():
            return State.FOREIGN
        if len(found) < len(self.shapes) or find_fault(self.path):
            return State.BROKEN
        return State.WHOLE

    def _folder_state(self) -> State:
        found = read_shapes(self.path)
        whole = {key: shape for key, shape in found.items() if shape}
        if not found.keys() <= self.shapes.keys() or not whole.items() <= self.shapes.items():
            return State.FOREIGN
        return State.WHOLE if len(whole) == len(self.shapes) else State.BROKEN

    @contextmanager
    def writing(self) -> Iterator[Write]:
        """Give a function that adds entries; the output is in place only after the block.

        Raises:
            OSError: If it cannot be written.
        """
        with staged(self.path) as folder:
            if self.is_lmdb:
                with LmdbWriter(folder) as writer:
                    yield writer.put
            else:
                yield partial(write_images, folder)


def output_path(root: Path, name: str, split: str, scale: int, *, lmdb: bool) -> Path:
    """Return the path of an output; those of training are of sub-images.

    Args:
        root: The folder of the data set.
        name: Of the images: DIV2K, or that of their folder.
        split: "train" or "valid".
        scale: `HR_SCALE`, 2, 3 or 4.
        lmdb: An LMDB, or else a folder of files.
    """
    sub = "_sub" if split == "train" else ""
    hr, lr = root / f"{name}_{split}_HR", root / f"{name}_{split}_LR_bicubic"
    if scale == HR_SCALE:
        return hr.with_name(f"{hr.name}{sub}.lmdb" if lmdb else f"{hr.name}{sub}")
    return lr.with_name(f"{lr.name}_X{scale}{sub}.lmdb") if lmdb else lr / f"X{scale}{sub}"
