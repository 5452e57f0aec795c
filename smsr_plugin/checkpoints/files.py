"""Checkpoint files of any network: read without running code in them, loaded, written whole."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from smsr_plugin import staging
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.archives import read_archive
from smsr_plugin.checkpoints.converted import MAX_HEADER, SAFETENSORS_PREFIX
from smsr_plugin.checkpoints.keys import (
    CONTAINERS,
    check_sharing,
    clean_tensors,
    find_state_dict,
    halved,
)
from smsr_plugin.checkpoints.pickle_machine import PickleSource, check_pickle
from smsr_plugin.checkpoints.pickle_values import damaged
from smsr_plugin.checkpoints.shapes import expected_shapes, find_mismatches
from smsr_plugin.names import first_line

#: How a zip and a pickle begin.
ZIP, PICKLE = b"PK\3\4", b"\x80"
#: What the first two pickles hold in files as PyTorch wrote them before 1.6.
MAGIC_NUMBER, PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001
SUFFIX = ".safetensors"


class FileContent(NamedTuple):
    """What a checkpoint file holds."""

    root: object  #: The object as stored; for safetensors a flat dict of tensors.
    metadata: Mapping[str, str] | None  #: The strings of a safetensors header, else None.


def read_file(path: Path) -> FileContent:
    """Read a PyTorch (zip or legacy) or safetensors file, told apart by content, to the CPU.

    Raises:
        CheckpointError: If the file cannot be read, is damaged or of another kind, or claims more
            than it holds; or if its pickle does what no state dict or training state needs.
    """
    try:
        with staging.open_regular(path) as file:
            start = file.read(SAFETENSORS_PREFIX + 1)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot be read: {reason_of(error)}") from error
    if not start:
        raise CheckpointError("is empty")
    if start[SAFETENSORS_PREFIX:] == b"{":
        return _read_safetensors(path, int.from_bytes(start[:SAFETENSORS_PREFIX], "little"))
    if start.startswith((ZIP, PICKLE)):
        return FileContent(_read_pickles(path, start.startswith(ZIP)), None)
    raise CheckpointError("is neither a PyTorch nor a safetensors file")


def _read_safetensors(path: Path, header: int) -> FileContent:
    if header > MAX_HEADER:
        raise CheckpointError(
            f"is a damaged safetensors file: a header of {header:,} bytes, where up to "
            f"{MAX_HEADER:,} are read"
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return FileContent(tensors, file.metadata() or {})
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(f"is a damaged safetensors file: {reason_of(error)}") from error


def _read_pickles(path: Path, is_zip: bool) -> object:
    with path.open("rb") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # An open file, because torch.load judges a path by its suffix; and bytes for the old
            # form, because in a file on disk torch.load would look for a tar first.
            if is_zip:
                _check_zip(file := opened)
            else:
                _check_legacy(content := opened.read())
                file = io.BytesIO(content)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
        except CheckpointError:
            raise
        # Broken bytes make the unpickler fail in any way: EOFError, KeyError, struct.error, ...
        except Exception as error:
            raise damaged(error) from error


def _check_zip(file: BinaryIO) -> None:
    archive = read_archive(file)
    root, storages = check_pickle(PickleSource(archive.pickle))
    for key, claimed in storages.items():
        held = archive.records.get(f"data/{key}", 0)
        if claimed > held:
            raise damaged(f"the storage {key[:40]!r} claims {claimed:,} bytes and holds {held:,}")
    check_sharing(root.nbytes, sum(storages.values()))


def _check_legacy(content: bytes) -> None:
    """Check the five pickles before the storages of a file as PyTorch wrote it before 1.6."""
    source = PickleSource(content)
    magic, protocol = (check_pickle(source)[0].content for _ in range(2))
    if (magic, protocol) != (MAGIC_NUMBER, PROTOCOL_VERSION):
        raise damaged("it does not begin as a PyTorch file")
    check_pickle(source)  # of the system that wrote it
    root, storages = check_pickle(source)
    keys, _ = check_pickle(source)
    if sorted(str(key.content) for key in keys.items) != sorted(storages):
        raise damaged("it does not list the storages that it refers to")
    claimed, held = sum(storages.values()), len(content) - source.tell()
    if claimed > held:
        raise damaged(f"its storages claim {claimed:,} bytes, and {held:,} follow")
    check_sharing(root.nbytes, sum(storages.values()))


def reason_of(error: Exception) -> str:
    """Return the error's own words in one short line."""
    told = error.strerror if isinstance(error, OSError) else None
    return first_line(told or error)[:200]


def read_tensors(
    path: str | os.PathLike[str], *, param_key: str | None = None
) -> dict[str, Tensor]:
    """Read the state dict of any network without running any code in the file.

    Args:
        path: A PyTorch or safetensors file.
        param_key: The entry that holds the state dict; by default as in `read`.

    Returns:
        float32 CPU tensors, without the key prefixes of DataParallel and torch.compile.

    Raises:
        CheckpointError: If the file cannot be read or holds no state dict; one line that begins
            with the path.
    """
    keys = CONTAINERS if param_key is None else (param_key,)
    try:
        found, _ = find_state_dict(read_file(Path(path)).root, keys, param_key is not None)
        return clean_tensors(found)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error


@runtime_checkable
class Folding(Protocol):
    """A network of which published files hold more than it runs."""

    def folded(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the entries that the network has."""
        ...


def load_weights(
    net: nn.Module, path: str | os.PathLike[str], *, param_key: str | None = None
) -> None:
    """Load a checkpoint into a network that it fits in every entry.

    Raises:
        CheckpointError: As `read_tensors`, or if an entry is missing, unexpected or of another
            shape.
    """
    state = read_tensors(path, param_key=param_key)
    if isinstance(net, Folding):
        state = net.folded(state)
    found = find_mismatches(state, expected_shapes(net, state))
    if any(found):
        raise CheckpointError(f"{os.fspath(path)}: does not fit {type(net).__name__} ({found})")
    net.load_state_dict(state)


def write_weights(
    net: nn.Module,
    path: str | os.PathLike[str],
    header: Callable[[Mapping[str, Tensor]], Mapping[str, str]],
    half: bool,
) -> None:
    """Write a network's state dict as safetensors, whole or not at all.

    Args:
        net: The network.
        path: Must end in .safetensors.
        header: Returns what stands in the file's header, of the state dict as float32.
        half: Store parameters as float16; buffers stay float32.

    Raises:
        CheckpointError: If the path ends otherwise or cannot be written, or weights are not finite,
            in float16 where that is asked for; one line that begins with the path.
    """
    try:
        if Path(path).suffix != SUFFIX:
            raise CheckpointError(f"must end in {SUFFIX}")
        state = clean_tensors(net.state_dict())
        told = header(state)
        if half:
            state = halved(state, {name for name, _ in net.named_parameters()})
        staging.replace_file(Path(path), safetensors.torch.save(state, dict(told)))
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error
    except (OSError, ValueError) as error:
        reason = f"cannot be written: {reason_of(error)}"
        raise CheckpointError(f"{os.fspath(path)}: {reason}") from error
