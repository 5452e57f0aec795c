"""From weights and options to a network for images."""

from __future__ import annotations

import os
from pathlib import Path

from smsr_plugin.checkpoints.shipped import default_weights
from smsr_plugin.runtime import Runtime, UnsuitedError
from smsr_plugin.upscaling.errors import RequestError
from smsr_plugin.upscaling.network import Network
from smsr_plugin.upscaling.tiles import OVERLAP


def find_weights(
    weights: str | os.PathLike[str] | None,
    model: str | None = None,
    scale: int | None = None,
    outscale: float | None = None,
) -> Path:
    """Return the file of weights that is meant; arguments and errors as of `load_network`."""
    if weights is not None and model is not None:
        raise RequestError(f"name weights or a model, not both: got {weights} and {model!r}")
    return Path(default_weights(scale, outscale, model) if weights is None else weights)


def load_network(
    weights: str | os.PathLike[str] | None = None,
    *,
    model: str | None = None,
    scale: int | None = None,
    outscale: float | None = None,
    density: float | None = None,
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
        threads: None: one for each core.
        density, threshold, precision, dense, tile, overlap: As of `Network`.

    Raises:
        CheckpointError: If the file cannot be read, or is for another scale.
        ValueError: If an option is out of range, or a file and a model are named.
    """
    path = find_weights(weights, model, scale, outscale)
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

    from smsr_plugin.checkpoints import masked_networks

    if threads:
        torch.set_num_threads(threads)
    net = masked_networks.load_network(path, scale=scale)
    return Network(
        net, precision=precision, threshold=threshold, density=density, dense=dense, tile=tile,
        overlap=overlap,
    )  # fmt: skip
