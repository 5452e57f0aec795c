"""Any network, run by an engine of one's choice, for `smsr upscale`."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smsr_plugin.engines.base import Engine, Input, Job, import_engine
from smsr_plugin.engines.export import Exporter
from smsr_plugin.engines.spec import LIBRARIES, dense_spec
from smsr_plugin.images.errors import ImageError
from smsr_plugin.names import first_line
from smsr_plugin.networks.find import NetworkError, find_source, parse_network
from smsr_plugin.networks.source import NetworkSource
from smsr_plugin.runtime import Inferred
from smsr_plugin.upscaling.network import is_shortage

#: Engines that read a file are made anew for each size of an image; so many are kept.
KEPT = 4
#: Side of the image that shows how much memory a network takes.
TRIED = 48
#: Of a network's largest layer, input and output together, how many are in memory at once.
LIVE = 4
BYTES = 4


def source_of(text: str, scale: int | None = None) -> NetworkSource:
    """Return the network that an argument stands for; one with masks in its masked-dense form.

    Args:
        text: A file that is recognised, NAME=FILE for a network of BasicSR's registry, with options
            as `smsr benchmark` takes them, or an option file.
        scale: Of a registered network that has none of its own; 2 by default.

    Raises:
        NetworkError, CheckpointError, OptionError: If it cannot be had.
        ImportError: If a package is not installed.
    """
    argument = parse_network(text)
    unknown = [key for key in argument.run if key != "param_key"]
    if unknown:
        raise NetworkError(f"{text}: {unknown[0]} is for smsr benchmark; see smsr upscale --help")
    source = find_source(argument, scale or 2)
    if source.weights is None:
        raise NetworkError(f"{text}: has no weights; name a file, {source.name}=FILE")
    return replace(source, form="masked") if source.kind in ("smsr", "masked") else source


class EngineModel:
    """A network that computes every pixel, as `upscaling.network.Model` asks for it.

    Args:
        source: The network; one with masks runs masked-dense.
        library: Of `LIBRARIES`.
        threads: How many it may use.
        precision: "fp32" or "bf16".

    Raises:
        NetworkError: If the library does not run in that precision.
        CheckpointError, OptionError: If the network cannot be had.
        ImportError: If the library is not installed.
    """

    num_in_ch = num_out_ch = 3
    num_masks = 1
    has_bands = False

    def __init__(
        self, source: NetworkSource, library: str, threads: int, precision: str = "fp32"
    ) -> None:
        if precision not in LIBRARIES[library].precisions:
            raise NetworkError(f"{library} does not run in {precision}")
        self.source, self.spec = source, dense_spec(library, threads, precision)
        self.upscale = source.upscale
        self._module = import_engine(self.spec.module)
        self._bytes = bytes_per_pixel(source.load())
        self._engines: dict[tuple[int, int], Engine] = {}

    def __call__(self, lq: NDArray[np.float32]) -> Inferred:
        """Super-resolve an image, (3, H, W), 0…1; its mask is full, and its cost is not counted."""
        try:
            engine = self._engine(lq.shape[2], lq.shape[1])
            given = Input(np.ascontiguousarray(lq[None]))
            sr = engine.output(engine.run(engine.prepare(given)))[0]
        except Exception as error:  # libraries fail in any way
            if is_shortage(error):
                raise
            raise ImageError(f"{self.spec.library}: {first_line(error)}") from error
        return Inferred(sr, np.ones((1, *lq.shape[1:]), np.bool_), self.dense_macs(lq[0].size))

    def dense_macs(self, pixels: int) -> int:
        """Return one for each pixel: what is computed of it is always all."""
        return pixels

    def bytes_needed(self, height: int, width: int) -> int:
        """Return about what a run of an lq image takes."""
        return height * width * self._bytes

    def _engine(self, width: int, height: int) -> Engine:
        size = (width, height) if self.spec.model_format else (0, 0)
        if size not in self._engines:
            while len(self._engines) >= KEPT:
                del self._engines[next(iter(self._engines))]
            self._engines[size] = self._made(size)
        return self._engines[size]

    def _made(self, size: tuple[int, int]) -> Engine:
        if not self.spec.model_format:
            return self._module.load(Job(self.spec, self.source))
        with tempfile.TemporaryDirectory() as folder:
            model = Exporter(Path(folder)).model(self.source, self.spec.model_format, size)
            return self._module.load(Job(self.spec, self.source, model))


@torch.inference_mode()
def bytes_per_pixel(net: nn.Module) -> int:
    """Return about what a run of a network needs for each lq pixel, from its largest layer."""
    largest = 0

    def look(module: nn.Module, given: tuple[object, ...], made: object) -> None:
        nonlocal largest
        values = [value for value in (*given, made) if isinstance(value, Tensor)]
        largest = max(largest, sum(value.numel() for value in values))

    handles = [module.register_forward_hook(look) for module in net.modules()]
    try:
        net(torch.zeros(1, 3, TRIED, TRIED))
    finally:
        for handle in handles:
            handle.remove()
    return BYTES * LIVE * largest // TRIED**2
