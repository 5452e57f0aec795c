"""Inference that computes what the masks keep, and nothing else.

`to_sparse` turns an `SMSR` into a frozen `SparseNetwork`, which for every block finds the active
pixels once and shares them among the block's layers. The exports are loaded on first use: the
native engine, in `native`, does without PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smsr_plugin import lazy

if TYPE_CHECKING:
    from smsr_plugin.sparse.converter import to_sparse
    from smsr_plugin.sparse.network import SparseNetwork
    from smsr_plugin.sparse.stats import SparseStats

__all__ = ["SparseNetwork", "SparseStats", "to_sparse"]

__getattr__, __dir__ = lazy.exports(
    __name__,
    {
        "SparseNetwork": "smsr_plugin.sparse.network",
        "SparseStats": "smsr_plugin.sparse.stats",
        "to_sparse": "smsr_plugin.sparse.converter",
    },
)
