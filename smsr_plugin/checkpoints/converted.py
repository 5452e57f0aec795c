"""The files that `smsr convert` and `smsr_plugin.save` write, read without PyTorch.

Only what is in order in every respect is taken. Everything else is for `network.read`, which reads
checkpoints of any kind and says what is wrong with a bad one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from smsr_plugin import staging
from smsr_plugin.archs.density import POINTS
from smsr_plugin.archs.smsr_program import PEAKS, Array, entry_shapes, optional_shapes
from smsr_plugin.archs.tile_networks import TileNetwork, network_of
from smsr_plugin.archs.tile_program import CURVE as TILES_CURVE
from smsr_plugin.config import SMSRConfig

#: A safetensors file is an 8-byte header length followed by a JSON object.
SAFETENSORS_PREFIX = 8
#: Bytes of that object, about 100 for each tensor.
MAX_HEADER = 1 << 24
#: Entries of its metadata: this one tells our files from others', …
FORMAT = {"format": "smsr"}
#: … and this one has the fields of `SMSRConfig` as JSON.
CONFIG = "config"


class Converted(NamedTuple):
    """A network for values in 0…1."""

    config: SMSRConfig
    state: dict[str, Array]  #: Its state dict.


def read_converted(path: Path) -> Converted | None:
    """Read a converted file; None if it is of another kind, for another range, or not in order.

    Never raises because of what the file holds; no code in it is run.
    """
    try:
        if not _is_safetensors(path):
            return None
        with safe_open(path, framework="np") as file:
            config = _config(file.metadata() or {})
            if config is None or not _fits(file, config):
                return None
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError):
        return None
    return Converted(config, state) if _in_order(state, config) else None


class ConvertedAtTiles(NamedTuple):
    """A network with masks at tiles, for values in 0…1."""

    network: TileNetwork
    upscale: int
    state: dict[str, Array]  #: Its state dict.


def read_at_tiles(path: Path) -> ConvertedAtTiles | None:
    """Read a network with masks at tiles as `read_converted` reads an SMSR."""
    try:
        if not _is_safetensors(path):
            return None
        with safe_open(path, framework="np") as file:
            keys = file.keys()
            network = network_of(dict.fromkeys(keys))
            if network is None:
                return None
            options = network.options_of({key: _Shape(file.get_slice(key)) for key in keys})
            shapes = network.shapes_of(**options)
            if TILES_CURVE in keys:
                shapes[TILES_CURVE] = 1, POINTS
            if not _are(file, shapes):
                return None
            state = {key: file.get_tensor(key).astype(np.float64) for key in keys}
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, RuntimeError):
        return None
    finite = all(np.isfinite(value).all() for value in state.values())
    return ConvertedAtTiles(network, options["upscale"], state) if finite else None


class _Shape:
    """The shape of an entry that is not read yet."""

    def __init__(self, entry: Any) -> None:
        self.shape: Sequence[int] = tuple(entry.get_shape())


def _is_safetensors(path: Path) -> bool:
    with staging.open_regular(path) as file:
        start = file.read(SAFETENSORS_PREFIX + 1)
    header = int.from_bytes(start[:SAFETENSORS_PREFIX], "little")
    return start[SAFETENSORS_PREFIX:] == b"{" and header <= MAX_HEADER


def _config(metadata: Mapping[str, str]) -> SMSRConfig | None:
    if metadata.get("format") != FORMAT["format"] or CONFIG not in metadata:
        return None
    try:
        config = SMSRConfig.from_dict(json.loads(metadata[CONFIG]))
    except (ValueError, TypeError, RecursionError):
        return None
    return config if config.img_range == 1 else None


def _fits(file: Any, config: SMSRConfig) -> bool:
    """Tell whether the entries are those of the network, before any of them is read."""
    keys = set(file.keys())
    # Each block and layer has entries: few keys must not describe a network of millions of them.
    if config.num_block * config.num_layer > len(keys):
        return False
    return _are(file, entry_shapes(config) | optional_shapes(config, keys))


def _are(file: Any, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether the entries have these names and shapes, and are numbers of ours."""
    return set(file.keys()) == shapes.keys() and all(
        tuple(file.get_slice(key).get_shape()) == shape
        and file.get_slice(key).get_dtype() in ("F16", "F32")
        for key, shape in shapes.items()
    )


def _in_order(state: dict[str, NDArray[Any]], config: SMSRConfig) -> bool:
    """Widen the entries in place; tell whether they are in range and what the header says."""
    for key, value in state.items():
        state[key] = value.astype(np.float64)
    mean = np.array(config.rgb_mean, np.float32)
    return (
        all(np.isfinite(value).all() for value in state.values())
        and (PEAKS not in state or bool((state[PEAKS] > 0).all()))
        and float(state["img_range"]) == config.img_range
        and np.array_equal(state["rgb_mean"].ravel(), mean)
    )
