"""Checkpoint files: bytes to Python objects without running code, tensors to bytes atomically."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from smsr_plugin import staging
from smsr_plugin.checkpoints.errors import CheckpointError

#: A safetensors file is an 8-byte header length followed by a JSON object.
SAFETENSORS_PREFIX = 8


class FileContent(NamedTuple):
    """What a checkpoint file holds."""

    root: object  #: The object as stored; for safetensors a flat dict of tensors.
    metadata: Mapping[str, str] | None  #: The strings of a safetensors header, else None.


def read_file(path: Path) -> FileContent:
    """Read a PyTorch (zip or legacy) or safetensors file, told apart by content, to the CPU.

    Raises:
        CheckpointError: If the file cannot be read, is damaged or of another kind, unpacks to
            more than itself, or needs Python objects that `torch.load(weights_only=True)` refuses.
    """
    try:
        with staging.open_regular(path) as file:
            start = file.read(SAFETENSORS_PREFIX + 1)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot be read: {_reason(error)}") from error
    if not start:
        raise CheckpointError("is empty")
    if start[SAFETENSORS_PREFIX:] == b"{":
        return _read_safetensors(path)
    if start.startswith((b"PK", b"\x80")):
        return FileContent(_read_pickle(path), None)
    raise CheckpointError("is neither a PyTorch nor a safetensors file")


def _read_safetensors(path: Path) -> FileContent:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return FileContent(tensors, file.metadata() or {})
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(f"is a damaged safetensors file: {_reason(error)}") from error


def _read_pickle(path: Path) -> object:
    try:
        # An open file, because torch.load judges a path by its suffix.
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            _check_unpacked_size(file)
            return torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    # Broken bytes make the unpickler fail in any way: EOFError, KeyError, struct.error, ...
    except Exception as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused:
            raise CheckpointError(
                f"needs the Python object {refused[1]}; only tensors, numbers, strings and their "
                "containers are loaded, because other objects can run code. Save the network's "
                "state_dict() instead"
            ) from error
        raise CheckpointError(
            f"is damaged, cut short, or not a PyTorch checkpoint: {_reason(error)}"
        ) from error


def _check_unpacked_size(file: BinaryIO) -> None:
    """Refuse a zip that unpacks to more than itself: compressed, or with entries that overlap.

    `torch.save` compresses nothing, so that such a file is a decompression bomb.
    """
    size = file.seek(0, os.SEEK_END)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > size:
            raise CheckpointError(
                f"unpacks to {unpacked:,} bytes and is a file of {size:,}; torch.save compresses "
                "nothing, so it is refused as a decompression bomb"
            )
    file.seek(0)


def write_file(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file.

    Raises:
        CheckpointError: If the file cannot be written.
    """
    replace_file(path, safetensors.torch.save(dict(tensors), dict(metadata)))


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that `path` holds the old bytes or all the new ones, never a mix.

    Raises:
        CheckpointError: If the file cannot be written.
    """
    try:
        staging.replace_file(path, content)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot be written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the error's own words in one short line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.strip().partition("\n")[0][:200] or type(error).__name__
