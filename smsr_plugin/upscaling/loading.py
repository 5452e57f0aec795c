"""From weights and options to a network for images.

Its density may be set for each image, so that computing it takes the seconds allowed.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from smsr_plugin.checkpoints.shipped import chosen_weights
from smsr_plugin.runtime import Runtime, UnrunnableError, UnsuitedError
from smsr_plugin.sparse.native.kernels import load_kernels
from smsr_plugin.sparse.native.limits import missing_instructions
from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling.network import Network
from smsr_plugin.upscaling.tiles import OVERLAP

#: The least density that is asked for, and how finely.
LEAST, STEP = 0.2, 0.01
#: Side of the lq image that is timed, runs of it, and how many seconds may go by before another.
SIDE, RUNS, PATIENCE = 320, 3, 1.0
#: Of the seconds allowed so much is planned with: an image may have more detail than most.
MARGIN = 0.9
#: Networks at so many densities are kept at hand.
KEPT = 4


@dataclass(frozen=True)
class PixelCost:
    """Seconds of an lq pixel on this machine.

    Attributes:
        skipped: Where nothing is computed that a mask can skip.
        computed: Where everything is.
    """

    skipped: float
    computed: float

    def seconds(self, pixels: float, density: float) -> float:
        """Return the seconds of so many pixels."""
        return pixels * (self.skipped + (self.computed - self.skipped) * density)

    def density(self, pixels: float, seconds: float) -> float:
        """Return the density, from `LEAST` to 1, at which so many pixels take no longer."""
        dearer = self.computed - self.skipped
        if dearer <= 0:  # masks save nothing here
            return 1.0
        found = (seconds / pixels - self.skipped) / dearer
        return min(max(math.floor(found / STEP) * STEP, LEAST), 1.0)


def measure(runtime: Runtime) -> PixelCost:
    """Time a network on this machine, with no tile and with every tile computed."""
    lq = np.random.default_rng(0).random((runtime.num_in_ch, SIDE, SIDE), np.float32)
    own = runtime.threshold
    found = []
    for threshold in (math.inf, -math.inf):
        runtime.threshold = threshold
        runtime(lq)  # makes room for its planes
        found.append(_least_seconds(lambda: runtime(lq)) / SIDE**2)
    runtime.threshold = own
    return PixelCost(*found)


def _least_seconds(run: Callable[[], object]) -> float:
    """Return the least of a few runs, of one where it takes long."""
    seconds: list[float] = []
    while len(seconds) < RUNS and sum(seconds) < PATIENCE:
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


class Dial:
    """Networks of one file at the densities that images need.

    Args:
        load: Returns the network at a density.
        budget: Seconds that computing an image may take.

    Attributes:
        cost: What was measured.
    """

    def __init__(self, load: Callable[[float], Runtime], budget: float) -> None:
        self._load, self.budget = load, budget
        self._kept = {1.0: load(1.0)}
        self.cost = measure(self._kept[1.0])

    def at(self, pixels: float) -> Runtime:
        """Return the network for an image, given the lq pixels that are computed of it."""
        density = self.cost.density(pixels, MARGIN * self.budget)
        if density not in self._kept:
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[density] = self._load(density)
        return self._kept[density]

    def __str__(self) -> str:
        largest = [
            MARGIN * self.budget / self.cost.seconds(1e6, density) for density in (1.0, LEAST)
        ]
        return (
            f"{self.budget:g} s an image: a megapixel takes {self.cost.seconds(1e6, 1):.2f} s here "
            f"at density 1 and {self.cost.seconds(1e6, LEAST):.2f} s at {LEAST:g}: enough for "
            f"{largest[0]:.2g} and {largest[1]:.2g} megapixels; larger lq images take longer"
        )


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
        budget: Seconds that computing an image may take; the density follows from it, see `Dial`.
        threads: None: one for each core.
        density, threshold, precision, dense: As of `PyTorchModel`.
        tile, overlap: As of `Network`.

    Raises:
        CheckpointError: If the file cannot be read, or is for another scale, or a file and a model
            are named.
        ValueError: If an option is out of range, or the network does not run in int8 here.
    """
    path = chosen_weights(weights, model, scale, outscale)

    def runtime(density: float | None) -> Runtime:
        try:
            return Runtime.load(
                path, scale=scale, precision=precision, threshold=threshold, density=density,
                threads=threads,
            )  # fmt: skip
        except UnrunnableError as error:
            if precision != "int8":
                raise
            raise RequestError(f"{path}: {error}") from error  # which PyTorch cannot run either

    if precision == "int8" and not dense:
        _check_int8()
    if budget is not None:
        if density is not None or dense:
            raise RequestError("a budget sets the density itself: name neither density nor dense")
        if not 0 < budget < math.inf:
            raise RequestError(f"budget must be a number of seconds above 0, got {budget}")
        try:
            dial = Dial(runtime, budget)
        except RequestError:
            raise
        except ValueError as error:
            raise RequestError(f"a budget needs a network with densities: {error}") from error
        return Network(dial.at(1), tile=tile, overlap=overlap, dial=dial)
    if not dense:
        try:
            return Network(runtime(density), tile=tile, overlap=overlap)
        except UnsuitedError:
            pass
    import torch

    from smsr_plugin.checkpoints.masked_networks import load
    from smsr_plugin.upscaling.pytorch import PyTorchModel

    if threads:
        torch.set_num_threads(threads)
    net = load(path, scale=scale)
    oracle = PyTorchModel(net, precision, threshold, density, dense)
    return Network(oracle, tile=tile, overlap=overlap)


def _check_int8() -> None:
    """Raise RequestError where no network runs in int8; before a file is read."""
    kernels = load_kernels()
    if kernels is None:
        raise RequestError("int8 needs the native kernels, which were not built: take fp32")
    if missing := missing_instructions(kernels, "int8"):
        raise RequestError(missing)
