"""From weights and options to a network for images."""

from __future__ import annotations

import math
import os
from pathlib import Path

from smsr_plugin.checkpoints.shipped import chosen_weights
from smsr_plugin.runtime import Runtime, UnsuitedError
from smsr_plugin.upscaling.dial import Dial
from smsr_plugin.upscaling.errors import RequestError
from smsr_plugin.upscaling.network import Network
from smsr_plugin.upscaling.tiles import OVERLAP


def load_network(
    weights: str | os.PathLike[str] | None = None,
    *,
    model: str | None = None,
    scale: int | None = None,
    outscale: float | None = None,
    density: float | None = None,
    budget: float | None = None,
    threshold: float = 0.0,
    precision: str = "fp32",
    dense: bool = False,
    threads: int | None = None,
    tile: int | None = None,
    overlap: int = OVERLAP,
) -> Network:
    """Load a network: without PyTorch where it can be, that is for converted weights.

    Args:
        weights: The file. None: that of the environment variable SMSR_WEIGHTS, else the package's.
        model: In place of a file, which of the package's networks; see `default_weights`.
        scale: What the network must enlarge by.
        outscale: What the result is wanted for; of the package's networks the least that suffices.
        budget: Seconds that computing an image may take; the density follows from it, see `dial`.
        threads: None: one for each core.
        density, threshold, precision, dense, tile, overlap: As of `Network`.

    Raises:
        CheckpointError: If the file cannot be read, or is for another scale, or a file and a model
            are named.
        ValueError: If an option is out of range.
    """
    path = chosen_weights(weights, model, scale, outscale)
    if budget is not None:
        if density is not None or dense:
            raise RequestError("a budget sets the density itself: name neither density nor dense")
        return _with_dial(
            path, budget, scale, precision, threshold, threads, tile=tile, overlap=overlap
        )
    if not dense:
        try:
            runtime = Runtime.load(
                path, scale=scale, precision=precision, threshold=threshold, density=density,
                threads=threads,
            )  # fmt: skip
            return Network(runtime, tile=tile, overlap=overlap)
        except UnsuitedError:
            pass
    import torch

    from smsr_plugin.checkpoints import load

    if threads:
        torch.set_num_threads(threads)
    net = load(path, scale=scale)
    return Network(
        net, precision=precision, threshold=threshold, density=density, dense=dense, tile=tile,
        overlap=overlap,
    )  # fmt: skip


def _with_dial(
    path: Path,
    budget: float,
    scale: int | None,
    precision: str,
    threshold: float,
    threads: int | None,
    *,
    tile: int | None,
    overlap: int,
) -> Network:
    """Load a network that keeps to a number of seconds.

    Raises:
        RequestError: If the number is none of them, or the network has no dial.
    """
    if not 0 < budget < math.inf:
        raise RequestError(f"budget must be a number of seconds above 0, got {budget}")

    def load(density: float) -> Runtime:
        return Runtime.load(
            path, scale=scale, precision=precision, threshold=threshold, density=density,
            threads=threads,
        )  # fmt: skip

    try:
        dial = Dial(load, budget)
    except ValueError as error:
        raise RequestError(f"a budget needs a network with densities: {error}") from error
    return Network(dial.at(1), tile=tile, overlap=overlap, dial=dial)
