"""Networks that an option file makes absurdly large: refused before they fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import nn

from smsr_plugin.machine import available_bytes
from smsr_plugin.training.errors import wrong

#: Of channels, blocks, layers; what is beyond takes minutes to build, let alone to run.
MAX_OPTION = 10_000


def check_network_size(
    section: str, network: Callable[..., nn.Module], options: Mapping[str, Any]
) -> None:
    """Refuse a network with more than `MAX_OPTION` of anything, or without memory for its weights.

    Args:
        section: How errors call it.
        network: Its class.
        options: Its arguments.

    Raises:
        OptionError: If it is too large.
    """
    for key, value in options.items():
        values = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(part, int | float) and abs(part) > MAX_OPTION for part in values):
            expected = f"numbers up to {MAX_OPTION:,}"
            raise wrong(f"{section}.{key}", expected, value, "no network has more of anything")
    needed, available = _weight_bytes(network, options), available_bytes()
    if needed > available:
        expected = f"a network whose weights fit into the {available / 1e9:.1f} GB of free memory"
        raise wrong(section, expected, f"{needed / 1e9:.1f} GB", "make it smaller")


def _weight_bytes(network: Callable[..., nn.Module], options: Mapping[str, Any]) -> int:
    """Return what the weights take, 0 if only building the network in earnest can tell."""
    try:
        with torch.device("meta"):  # sizes without memory
            net = network(**options)
    except Exception:  # whatever a constructor does; what is wrong with its options is said later
        return 0
    return sum(t.numel() * t.element_size() for t in chain(net.parameters(), net.buffers()))
