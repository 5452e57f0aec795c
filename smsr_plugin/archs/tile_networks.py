"""The networks with masks at tiles, as far as their state dicts tell; without PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from smsr_plugin.archs import masked_rlfn_program as rlfn
from smsr_plugin.archs import masked_srvgg_program as srvgg
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.step import Shaped
from smsr_plugin.archs.tile_program import Array, State


@dataclass(frozen=True)
class TileNetwork:
    """One of them.

    Attributes:
        name: Of its class.
        sign: An entry that only its state dict has.
        options_of: Returns the arguments that a state dict's shapes imply; raises KeyError,
            IndexError or ValueError if a tensor that tells is absent or has no such shape.
        program: Makes its program of a state dict whose entries fit.
        shapes_of: Returns the shapes of all entries, but for the curve, from the arguments.
    """

    name: str
    sign: str
    options_of: Callable[[Mapping[str, Shaped]], dict[str, int]]
    program: Callable[[State], Program[Array]]
    shapes_of: Callable[..., dict[str, tuple[int, ...]]]


NETWORKS = (
    TileNetwork(
        "MaskedRLFN", rlfn.SIGN, rlfn.options_of, rlfn.masked_rlfn_program, rlfn.entry_shapes
    ),
    TileNetwork(
        "MaskedSRVGGNetCompact",
        srvgg.SIGN,
        srvgg.options_of,
        srvgg.masked_srvgg_program,
        srvgg.entry_shapes,
    ),
)


def network_of(state: Mapping[str, Any]) -> TileNetwork | None:
    """Return the network that a state dict belongs to, perhaps not whole; None if there is none."""
    return next((network for network in NETWORKS if network.sign in state), None)
