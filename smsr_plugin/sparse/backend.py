"""What computes a program: a protocol, the native engine; and what PyTorch must not in a fork.

A child of `fork` has none of its parent's threads, and GNU's OpenMP, with which PyTorch computes,
waits for them for ever as soon as it wants more than one. The native kernels see to it themselves
(`csrc/parallel.cpp`).
"""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from smsr_plugin.archs.program import Program
from smsr_plugin.sparse.native.engine import NativeEngine
from smsr_plugin.timing import Timer


class Backend(Protocol):
    """A program ready to run."""

    def __call__(
        self, x: Tensor, spa_mask: Tensor | None, threshold: float
    ) -> tuple[Tensor, Tensor]:
        """Super-resolve a batch.

        Args:
            x: (B, num_in_ch, H, W).
            spa_mask: Masks (B, K, H, W) to use in place of those that would be decided.
            threshold: A pixel is important where logit 1 − logit 0 exceeds this.

        Returns:
            The images (B, num_out_ch, H·s, W·s), in the dtype of `x`, and the masks that were
            applied, (B, K, H, W) bool.
        """
        ...


class NativeBackend:
    """The native engine, for tensors on the CPU."""

    def __init__(self, program: Program[Tensor], engine: NativeEngine) -> None:
        self.num_out_ch, self.upscale = program.num_out_ch, program.upscale
        self.num_masks, self.engine = program.num_masks, engine

    def __call__(
        self, x: Tensor, spa_mask: Tensor | None, threshold: float, timer: Timer | None = None
    ) -> tuple[Tensor, Tensor]:
        batch, _, height, width = x.shape
        scale = self.upscale
        lq = x.float()
        # NumPy asks for huge pages where memory is large: it is touched in a third of the time.
        size = batch, self.num_out_ch, height * scale, width * scale
        sr = torch.from_numpy(np.empty(size, np.float32))
        found = torch.empty(batch, self.num_masks, height, width, dtype=torch.bool)
        threads = torch.get_num_threads()
        for i in range(batch):
            self.engine(
                np.ascontiguousarray(lq[i].numpy()),
                sr[i].numpy(),
                None if spa_mask is None else spa_mask[i].numpy() > 0,
                found[i].numpy(),
                threshold,
                threads,
                timer,
            )
        return sr.to(x.dtype), found


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
