"""Inference that computes what the masks keep, and nothing else.

`to_sparse` turns an `SMSR` into a frozen `SparseNetwork`, which for every block finds the active
pixels once and shares them among the block's layers.
"""

from smsr_plugin.sparse.converter import to_sparse
from smsr_plugin.sparse.network import SparseNetwork
from smsr_plugin.sparse.stats import SparseStats

__all__ = ["SparseNetwork", "SparseStats", "to_sparse"]
