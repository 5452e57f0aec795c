"""What an engine is: one module for each inference library, with a function `load`."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.engines.spec import EngineSpec
from smsr_plugin.networks.source import NetworkSource

Image = NDArray[np.float32]


class Job(NamedTuple):
    """What an engine module's `load` gets."""

    spec: EngineSpec
    source: NetworkSource | None  #: None for engines that bring what they run.
    model: Path | None = None  #: The file in the format that `spec.model_format` names.


class Input(NamedTuple):
    """What an engine is run on."""

    lq: Image  #: (1, 3, H, W), 0…1, contiguous.
    #: Of the mask decision, in place of the source's own; only the sparse form heeds it.
    threshold: float | None = None


class Inspection(NamedTuple):
    """What one run shows."""

    sr: Image  #: (1, 3, H·s, W·s) of float32.
    spa_densities: list[float] | None  #: Each block's share of important pixels.


class Engine(ABC):
    """A network loaded in an inference library.

    `run` is what is timed: from the prepared input, which is the contiguous float32 array in the
    library's own tensor type, to the float32 image in the library's own tensor type and layout.

    Attributes:
        loaded: What was loaded, where the specification leaves that to the library; else empty.
    """

    loaded: str = ""

    @abstractmethod
    def prepare(self, given: Input) -> Any:
        """Return what `run` takes; copies and conversions of the input belong here."""

    @abstractmethod
    def run(self, prepared: Any) -> Any:
        """Infer once."""

    @abstractmethod
    def output(self, result: Any) -> Image:
        """Return the result of `run` as (1, 3, H·s, W·s) of float32."""

    def inspect(self, prepared: Any) -> Inspection:
        """Run once and return the image and, where the engine knows them, its masks' densities."""
        return Inspection(self.output(self.run(prepared)), None)

    def breakdown(self, prepared: Any) -> dict[str, float] | None:
        """Run once and return the seconds of each part; None where the network has no such."""
        return None


def import_engine(module: str) -> ModuleType:
    """Import an engine's module, and with it its library."""
    return importlib.import_module(module, __package__)
