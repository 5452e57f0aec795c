"""The network that `smsr upscale` is asked for: ours, or any other in an engine."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.shipped import chosen_weights
from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling.enlarger import Enlarger
from smsr_plugin.upscaling.loading import load_network
from smsr_plugin.upscaling.network import Network

#: Options that only networks with masks have, with what stands for "not given".
OF_MASKS = {"density": None, "budget": None, "threshold": 0.0, "dense": False}


def load_enlarger(args: argparse.Namespace) -> Enlarger:
    """Load the network.

    Raises:
        ValueError: If it cannot be used as asked; one line.
        ImportError: If it needs what is not installed.
    """
    return Enlarger(_network(args), args.outscale)


def weights_file(args: argparse.Namespace) -> Path:
    """Return the file of the weights; errors as of `load_enlarger`."""
    weights = chosen_weights(args.weights, args.model, args.scale, args.outscale)
    if "=" not in str(weights) or weights.is_file():
        return weights
    from smsr_plugin.networks.find import parse_network

    argument = parse_network(str(weights))
    return argument.file or Path(argument.source)


def _network(args: argparse.Namespace) -> Network:
    weights = chosen_weights(args.weights, args.model, args.scale, args.outscale)
    if args.engine is not None or ("=" in str(weights) and not weights.is_file()):
        return _in_engine(args, weights)
    try:
        return load_network(
            args.weights,
            model=args.model,
            scale=args.scale,
            outscale=args.outscale,
            density=args.density,
            budget=args.budget,
            threshold=args.threshold,
            precision=args.precision,
            dense=args.dense,
            threads=args.threads,
            tile=args.tile,
            overlap=args.tile_overlap,
        )
    except CheckpointError as error:
        if importlib.util.find_spec("torch") is None:
            raise
        try:
            return _in_engine(args, weights, with_masks=False)
        except CheckpointError:  # the file itself is at fault
            raise error from None


def _in_engine(args: argparse.Namespace, weights: Path, with_masks: bool = True) -> Network:
    """Load any network; one with masks too, if that is wanted, which computes every pixel then.

    Raises:
        CheckpointError: If the file is at fault, or is of a network with masks.
        ValueError: If the network cannot be used as asked.
    """
    from smsr_plugin.engines.enlarging import EngineModel, source_of
    from smsr_plugin.machine import default_threads

    source = source_of(str(weights), args.scale)
    if source.form and not with_masks:
        raise CheckpointError(f"{weights}: a network with masks")
    if args.scale not in (None, source.upscale):
        raise RequestError(
            f"{weights}: is a network for x{source.upscale}, asked for was x{args.scale}"
        )
    given = [name for name, default in OF_MASKS.items() if getattr(args, name) != default]
    if given:
        raise RequestError(f"--{given[0]}: {weights} computes every pixel in this engine")
    threads = args.threads or default_threads()
    model = EngineModel(source, args.engine or "pytorch", threads, args.precision)
    return Network(model, tile=args.tile, overlap=args.tile_overlap)
