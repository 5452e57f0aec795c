"""The operator `smsr_plugin::sparse_network`: a whole sparse network as one node of a graph.

What it computes depends on the masks that it finds, so that no compiler could trace through it.
Blocks are no operators of their own: between them features lie in planes that are no tensors, and
each block's share of the final product is computed while its output is in the cache.
"""

from __future__ import annotations

import itertools
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from smsr_plugin.archs.masked import MaskedConfig
from smsr_plugin.complexity.masked_cost import MaskedCost
from smsr_plugin.sparse.stats import SparseStats


class Inferring(Protocol):
    """What the operator needs of a network."""

    config: MaskedConfig
    cost: MaskedCost

    def infer(self, x: Tensor, spa_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return sr and the masks that were applied."""
        ...


_networks: WeakValueDictionary[int, Inferring] = WeakValueDictionary()
_handles = itertools.count()


def register(net: Inferring) -> int:
    """Return a number by which the operator finds `net` for as long as it lives."""
    handle = next(_handles)
    _networks[handle] = net
    return handle


# Defined by hand: torch.library.custom_op imports the compiler when the operator is first called,
# which takes half a second and 30 MiB.
_library = torch.library.Library("smsr_plugin", "DEF")
_library.define("sparse_network(Tensor x, Tensor? spa_mask, int network) -> (Tensor, Tensor)")


def sparse_network(x: Tensor, spa_mask: Tensor | None, network: int) -> tuple[Tensor, Tensor]:
    """Super-resolve `x` with the network registered as `network`; return sr and the masks."""
    return torch.ops.smsr_plugin.sparse_network(x, spa_mask, network)


def _infer(x: Tensor, spa_mask: Tensor | None, network: int) -> tuple[Tensor, Tensor]:
    sr, found = _networks[network].infer(x, spa_mask)
    return sr.contiguous(), found.contiguous()


_library.impl("sparse_network", _infer, "CompositeExplicitAutograd")


@torch.library.register_fake("smsr_plugin::sparse_network")
def _(x: Tensor, spa_mask: Tensor | None, network: int) -> tuple[Tensor, Tensor]:
    config = _networks[network].config
    batch, _, height, width = x.shape
    sr = x.new_empty(batch, config.num_out_ch, height * config.upscale, width * config.upscale)
    return sr, x.new_empty(batch, config.num_block, height, width, dtype=torch.bool)


@register_flop_formula(torch.ops.smsr_plugin.sparse_network, get_raw=True)
def _flops(x: Any, spa_mask: Any, network: int, *, out_val: Any, **_: Any) -> int:
    """Count what the masks of this very run kept, two operations for a multiply-add."""
    return round(2 * sum(SparseStats.of(out_val[1], _networks[network].cost).macs))
