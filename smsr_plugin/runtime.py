"""Sparse inference without PyTorch: a network's program, NumPy arrays in, NumPy arrays out.

For networks that `smsr convert`, `smsr sparsify` or `smsr_plugin.save` has written and those of the
package, where the native kernels are there. The result is that of `to_sparse`, bit for bit.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs import tile_program
from smsr_plugin.archs.checks import check_brightest, check_threshold
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.smsr_program import Array, smsr_program, with_density
from smsr_plugin.checkpoints.converted import read_at_tiles, read_converted
from smsr_plugin.checkpoints.shipped import chosen_weights
from smsr_plugin.complexity.masked_cost import masked_cost
from smsr_plugin.config import PRECISIONS
from smsr_plugin.machine import default_threads
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import arithmetic_for
from smsr_plugin.sparse.native.engine import NativeEngine
from smsr_plugin.sparse.native.kernels import load_kernels
from smsr_plugin.sparse.native.limits import obstacle_to


class UnsuitedError(ValueError):
    """The weights, the kernels or the processor need PyTorch; one line that says why."""


class UnrunnableError(UnsuitedError):
    """The kernels do not run the network in this precision, however it is loaded."""


class Inferred(NamedTuple):
    """What a network made of an image."""

    sr: NDArray[np.float32]  #: (num_out_ch, H·s, W·s), about 0…1, not clamped
    spa_mask: NDArray[np.bool_]  #: (K, H, W), the important pixels of each block
    macs: int  #: multiply-adds that were computed


class Runtime:
    """A program, ready to run.

    Args:
        program: What the network computes, its weights in float64.
        precision: "fp32", "bf16" or "int8"; see `to_sparse`.
        threshold: A pixel is important where logit 1 − logit 0 exceeds this.
        threads: How many the kernels use; None: see `machine.default_threads`.

    Attributes:
        cost: What it costs, as a function of the masks' densities.

    Raises:
        UnrunnableError: If the kernels are not there or cannot run it.
        ValueError: If an option is out of range.
    """

    def __init__(
        self,
        program: Program[Array],
        precision: str = "fp32",
        threshold: float = 0.0,
        threads: int | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {sorted(PRECISIONS)}, got {precision!r}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be a whole number from 1, got {threads}")
        kernels = load_kernels()
        if kernels is None:
            raise UnrunnableError("the native kernels were not built")
        obstacle = obstacle_to(program, kernels, precision)
        if obstacle:
            raise UnrunnableError(obstacle)
        self.num_in_ch, self.num_out_ch = program.num_in_ch, program.num_out_ch
        self.upscale, self.num_masks = program.upscale, program.num_masks
        self.threshold, self.threads = check_threshold(threshold), threads or default_threads()
        self.cost = masked_cost(program)
        # What becomes levels is not rounded twice.
        round_ = packing.to_bfloat16 if precision == "bf16" else packing.to_float32
        self._engine = NativeEngine(
            program.map(lambda _, weight: round_(weight)),
            kernels,
            arithmetic_for(precision, kernels),
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        model: str | None = None,
        scale: int | None = None,
        precision: str = "fp32",
        threshold: float = 0.0,
        density: float | None = None,
        threads: int | None = None,
    ) -> Runtime:
        """Load a converted network.

        Args:
            path: The file. None: that of the environment variable SMSR_WEIGHTS, else the weights
                that come with the package.
            model: In place of a file, which of the package's networks; see `default_weights`.
            scale: What the network must enlarge by; 2 by default where the package's own are taken.
            precision, threshold, threads: As of the class.
            density: The share of pixels to compute, 0…1, in place of what the network was trained
                for; see `SMSR.set_density`.

        Raises:
            CheckpointError: If the package has no such network or none for the scale, or a file and
                a model are named.
            UnsuitedError: If the file is no converted network for this scale, or as the class;
                `smsr_plugin.load` and `to_sparse` take others, and say what is wrong with a file.
            ValueError: If an option is out of range, or a density is asked of a network that keeps
                no curves for it.
        """
        path = chosen_weights(path, model, scale)
        upscale, program = _stored(path, density)
        if scale is not None and upscale != scale:
            raise UnsuitedError(f"{path}: enlarges by {upscale}, not by {scale}")
        return cls(program, precision, threshold, threads)

    def __call__(self, lq: NDArray[np.float32]) -> Inferred:
        """Super-resolve an image, (num_in_ch, H, W), float32, 0…1, any H and W from 1.

        Raises:
            TypeError: If it holds no float32.
            ValueError: If its shape does not fit, or it is in 0…255.
        """
        if not isinstance(lq, np.ndarray) or lq.dtype != np.float32:
            raise TypeError(f"the network takes an array of float32, got {_kind(lq)}")
        if lq.ndim != 3 or lq.shape[0] != self.num_in_ch or 0 in lq.shape:
            raise ValueError(
                f"the network takes an image of shape ({self.num_in_ch}, H, W) with no empty side, "
                f"got {lq.shape}"
            )
        check_brightest("the network", float(lq.max()))
        _, height, width = lq.shape
        scale = self.upscale
        sr = np.empty((self.num_out_ch, height * scale, width * scale), np.float32)
        found = np.empty((self.num_masks, height, width), np.bool_)
        self._engine(np.ascontiguousarray(lq), sr, None, found, self.threshold, self.threads)
        densities = [np.count_nonzero(mask) / mask.size for mask in found]
        return Inferred(sr, found, self.cost.macs(densities, height * width))

    def dense_macs(self, pixels: int) -> int:
        """Return the multiply-adds of an image if every pixel and channel were computed."""
        return self.cost.dense_macs(pixels)

    def bytes_needed(self, height: int, width: int) -> int:
        """Return what a run of an lq image takes if every pixel is important."""
        return self._engine.bytes_needed(height, width, self.threads)

    @property
    def has_bands(self) -> bool:
        """Whether large images are computed in bands, which need less memory."""
        return self._engine.has_bands


def _stored(path: Path, density: float | None) -> tuple[int, Program[Array]]:
    """Return how many times the network in a file enlarges, and its program at a density.

    Raises:
        UnsuitedError, ValueError: As `Runtime.load`.
    """
    found = read_converted(path)
    if found is not None:
        state = found.state if density is None else with_density(found.state, density)
        return found.config.upscale, smsr_program(found.config, state)
    at_tiles = read_at_tiles(path)
    if at_tiles is None:
        raise UnsuitedError(f"{path}: no file that smsr convert or smsr sparsify wrote")
    state = at_tiles.state
    if density is not None:
        state = tile_program.with_density(state, density)
    return at_tiles.upscale, at_tiles.network.program(state)


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
