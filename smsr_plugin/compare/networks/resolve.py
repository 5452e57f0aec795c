"""From what was asked for to networks that engines can build and run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from smsr_plugin.compare.engines.spec import (
    LIBRARIES,
    NETWORKS,
    EngineSpec,
    dense_spec,
    sparse_spec,
)
from smsr_plugin.compare.networks.argument import NetworkArgument, NetworkError
from smsr_plugin.compare.networks.find_source import SMSR, find_source
from smsr_plugin.compare.networks.source import KINDS, NetworkSource
from smsr_plugin.sparse.native.kernels import load_kernels

#: What the row of bicubic interpolation is called.
BICUBIC = "Bicubic"


@dataclass(frozen=True)
class ComparedNetwork:
    """A network with the way it is run.

    Attributes:
        label: What it is called in tables.
        argument: What it was called on the command line.
        source: Where it comes from.
        spec: The engine.
    """

    label: str
    argument: str
    source: NetworkSource
    spec: EngineSpec

    @property
    def has_weights(self) -> bool:
        """Whether its images mean something."""
        return self.source.weights is not None


def resolve(
    arguments: Sequence[NetworkArgument], scale: int, engine: str, threads: int
) -> list[ComparedNetwork]:
    """Find each network and check that it can be compared with the others.

    Args:
        arguments: What was asked for.
        scale: That of all networks.
        engine: Of `LIBRARIES`: runs networks that do not say their own.
        threads: Of each engine.

    Raises:
        NetworkError, CheckpointError, OptionError: If a network cannot be had or is of another
            scale, or two have the same label.
    """
    networks = []
    labels = {BICUBIC}
    for number, argument in enumerate(arguments):
        source = find_source(argument, scale)
        if source.upscale != scale:
            raise NetworkError(
                f"{argument.text}: is a network for x{source.upscale}, and the others are for "
                f"x{scale}; --scale chooses"
            )
        source = _with_form(argument, source)
        spec = _engine_spec(argument, source, engine, threads)
        label = argument.run.get("label") or _default_label(source, argument, spec)
        if label in labels:
            raise NetworkError(
                f"{argument.text}: {label!r} is taken; give it a name by ,label=NAME"
            )
        labels.add(label)
        imports = () if spec.model_format else KINDS[source.kind]
        spec = replace(spec, name=label, network=f"network{number}", imports=imports)
        networks.append(ComparedNetwork(label, argument.text, source, spec))
    return networks


def _with_form(argument: NetworkArgument, source: NetworkSource) -> NetworkSource:
    form, threshold = argument.run.get("form"), argument.run.get("threshold")
    if source.name != SMSR or source.kind == "spandrel":
        if form or threshold:
            raise NetworkError(f"{argument.text}: form and threshold are for SMSR")
        return source
    form = form or "sparse"
    if threshold is None:
        return replace(source, form=form)
    try:
        value = float(threshold)
    except ValueError:
        value = math.nan
    if form != "sparse" or math.isnan(value):
        raise NetworkError(f"{argument.text}: threshold is a number, and for form=sparse")
    return replace(source, form=form, threshold=value)


def _engine_spec(
    argument: NetworkArgument, source: NetworkSource, engine: str, threads: int
) -> EngineSpec:
    precision, own = argument.run.get("precision", "fp32"), argument.run.get("engine")
    if source.form == "sparse":
        if own:
            raise NetworkError(f"{argument.text}: a sparse SMSR runs on its own kernels, no engine")
        return sparse_spec("", threads, precision, _sparse_backend(precision))
    library = own or engine
    if precision not in LIBRARIES[library].precisions:
        raise NetworkError(f"{argument.text}: {library} is not measured in {precision}")
    if source.form == "masked" and precision == "bf16" and not LIBRARIES[library].model_format:
        raise NetworkError(f"{argument.text}: a masked SMSR is not measured in bf16")
    return dense_spec("", "", library, threads, precision)


def _sparse_backend(precision: str) -> str:
    """Return the backend that "auto" stands for on this machine."""
    kernels = load_kernels()
    usable = kernels is not None and (precision != "bf16" or kernels.has_half())
    return "native" if usable else "reference"


def _default_label(source: NetworkSource, argument: NetworkArgument, spec: EngineSpec) -> str:
    words = [source.name, NETWORKS[source.form] if source.form else "", argument.run.get("engine")]
    words += [spec.precision if spec.precision != "fp32" else ""]
    words += [f"t={source.threshold:g}" if source.threshold else ""]
    return " ".join(word for word in words if word)
