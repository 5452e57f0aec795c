"""Forked processes: one thread there.

A child of `fork` has none of its parent's threads, and GNU's OpenMP, with which PyTorch computes,
waits for them for ever as soon as it wants more than one. The native kernels see to it themselves
(`csrc/parallel.cpp`).
"""

from __future__ import annotations

import os

import torch

_forked = False


def _in_child() -> None:
    global _forked
    _forked = True
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def check_threads() -> None:
    """Raise RuntimeError in a forked process that has asked PyTorch for several threads since."""
    if _forked and torch.get_num_threads() > 1:
        raise RuntimeError(
            "this process was forked, where PyTorch with several threads would hang: leave "
            "torch.set_num_threads at 1, or start it with multiprocessing's spawn"
        )
