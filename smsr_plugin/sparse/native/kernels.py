"""Whether the native kernels are there, and how the rest of the package reaches them."""

from __future__ import annotations

import logging
from functools import cache
from types import ModuleType


@cache
def load_kernels() -> ModuleType | None:
    """Return `smsr_plugin._kernels`, or None, saying so once, where it was not built."""
    try:
        from smsr_plugin import _kernels
    except ImportError as error:
        logging.getLogger(__name__).warning(
            "sparse inference runs in plain PyTorch: the native kernels are not available (%s); "
            "to build them, install a C++17 compiler and then smsr_plugin again",
            error,
        )
        return None
    return _kernels


@cache
def say_slow(obstacle: str) -> None:
    """Log once for each reason that sparse inference takes the slow path although it is built."""
    logging.getLogger(__name__).warning(
        "sparse inference runs in plain PyTorch, which is slower: %s", obstacle
    )
