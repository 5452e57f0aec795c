"""Checkpoints of any network: read safely, loaded strictly, written whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from smsr_plugin.checkpoints.errors import CheckpointError
from smsr_plugin.checkpoints.files import read_file, write_file
from smsr_plugin.checkpoints.keys import CONTAINERS, clean_tensors, find_state_dict, halved
from smsr_plugin.checkpoints.shapes import find_mismatches

SUFFIX = ".safetensors"


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
    found = find_mismatches(state, {key: value.shape for key, value in net.state_dict().items()})
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
        write_file(Path(path), state, told)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error
