"""SMSR for BasicSR: learned sparsity for super-resolution, and inference that uses it.

The exports are loaded on first use, and none of them needs BasicSR. `upscale`,
`Upscaler` and `Runtime` do without PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from smsr_plugin import lazy
from smsr_plugin.version import __version__ as __version__

if TYPE_CHECKING:
    from smsr_plugin.archs.smsr_arch import SMSR
    from smsr_plugin.checkpoints.masked_networks import load, save
    from smsr_plugin.config import SMSRConfig
    from smsr_plugin.runtime import Runtime
    from smsr_plugin.sparse import SparseNetwork, to_sparse
    from smsr_plugin.upscaling.images import Upscaler, upscale

__all__ = [
    "Runtime",
    "SMSR",
    "SMSRConfig",
    "SparseNetwork",
    "Upscaler",
    "load",
    "save",
    "to_sparse",
    "upscale",
]

_export, __dir__ = lazy.exports(
    __name__,
    {
        "Runtime": "smsr_plugin.runtime",
        "SMSR": "smsr_plugin.archs.smsr_arch",
        "SMSRConfig": "smsr_plugin.config",
        "SparseNetwork": "smsr_plugin.sparse",
        "Upscaler": "smsr_plugin.upscaling.images",
        "load": "smsr_plugin.checkpoints.masked_networks",
        "save": "smsr_plugin.checkpoints.masked_networks",
        "to_sparse": "smsr_plugin.sparse",
        "upscale": "smsr_plugin.upscaling.images",
    },
)


def __getattr__(name: str) -> Any:
    if name == "spandrel":  # a module of ours, which needs the package of the same name
        return importlib.import_module("smsr_plugin.spandrel")
    return _export(name)
