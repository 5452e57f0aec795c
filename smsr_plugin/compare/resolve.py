"""From what was asked for to networks that engines can build and run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from smsr_plugin.compare.results import BICUBIC
from smsr_plugin.engines.spec import LIBRARIES, EngineSpec, dense_spec, sparse_spec
from smsr_plugin.networks.find import NetworkArgument, NetworkError, find_source
from smsr_plugin.networks.source import KINDS, NetworkSource
from smsr_plugin.sparse import to_sparse
from smsr_plugin.sparse.native.kernels import load_kernels

#: In labels before a position of the dial: what is before it is one network.
DIAL_MARK = " d="


@dataclass(frozen=True)
class ComparedNetwork:
    """A network with the way it is run.

    Attributes:
        label: What it is called in tables.
        argument: What it was called on the command line.
        title: What it is.
        source: Where it comes from; None for engines that bring what they run.
        spec: The engine.
        densities: The mean densities that it is run at; empty for its own threshold alone.
    """

    label: str
    argument: str
    title: str
    source: NetworkSource | None
    spec: EngineSpec
    densities: tuple[float, ...] = ()

    @property
    def has_weights(self) -> bool:
        """Whether its images mean something."""
        return self.source is not None and self.source.weights is not None

    @property
    def wanted(self) -> tuple[float | None, ...]:
        """The densities that it is measured at; None stands for its own."""
        return self.densities or (None,)


def resolve(
    arguments: Sequence[NetworkArgument], scale: int, engine: str, threads: int
) -> list[ComparedNetwork]:
    """Find each network and check that it can be compared with the others.

    Args:
        arguments: What was asked for.
        scale: That of all networks.
        engine: Of `LIBRARIES`: runs networks that do not say their own.
        threads: Of each engine that does not say its own.

    Raises:
        NetworkError, CheckpointError, OptionError: If a network cannot be had or is of another
            scale, or two have the same label.
    """
    found = [(argument, scaled_source(argument, scale)) for argument in arguments]
    return name_networks([compared(*each, engine, threads) for each in found])


def scaled_source(argument: NetworkArgument, scale: int) -> NetworkSource:
    """Find a network and check its scale; errors as of `resolve`."""
    source = find_source(argument, scale)
    if source.upscale != scale:
        raise NetworkError(
            f"{argument.text}: is a network for x{source.upscale}, and the others are for "
            f"x{scale}; --scale chooses"
        )
    return source


def name_networks(networks: Sequence[ComparedNetwork]) -> list[ComparedNetwork]:
    """Give each engine its network's label; raise NetworkError where two have the same."""
    labels = {BICUBIC}
    for network in networks:
        if network.label in labels:
            raise NetworkError(
                f"{network.argument}: {network.label!r} is taken; give it a name by ,label=NAME"
            )
        labels.add(network.label)
    return [replace(n, spec=replace(n.spec, name=n.label)) for n in networks]


def compared(
    argument: NetworkArgument, source: NetworkSource, engine: str, threads: int
) -> ComparedNetwork:
    """Return a network in the form and on the engine that its argument asks for.

    Raises:
        NetworkError: If there is no such form or engine.
    """
    source = _with_form(argument, source)
    spec = _engine_spec(argument, source, engine, _threads(argument, threads))
    label = argument.run.get("label") or _default_label(source, argument)
    if not spec.model_format:
        spec = replace(spec, imports=KINDS[source.kind])
    return ComparedNetwork(label, argument.text, source.title, source, spec)


def is_smsr(source: NetworkSource) -> bool:
    """Whether a network has all forms of an SMSR."""
    return source.kind == "smsr"


def has_masks(source: NetworkSource) -> bool:
    """Whether a network comes with masks, and so in forms."""
    return source.kind in ("smsr", "masked")


def obstacle_to_int8(source: NetworkSource, backend: str = "auto") -> str:
    """Say why the sparse form of a network with masks does not run in int8 here, or nothing."""
    try:
        to_sparse(source.load(), "int8", backend=backend)
    except ValueError as error:
        return str(error)
    return ""


def _with_form(argument: NetworkArgument, source: NetworkSource) -> NetworkSource:
    run = argument.run
    if not has_masks(source):
        keys = ("form", "threshold", "density", "backend", "isa")
        given = [key for key in keys if key in run]
        if given:
            raise NetworkError(
                f"{argument.text}: {' and '.join(given)}: only networks with masks have that"
            )
        return source
    source = replace(source, form=run.get("form", "sparse"))
    if source.form == "twin" and not is_smsr(source):
        raise NetworkError(
            f"{argument.text}: {source.name} has no dense twin: the network it was made of is one"
        )
    if "threshold" in run:
        if source.form != "sparse":
            raise NetworkError(f"{argument.text}: threshold is for form=sparse")
        source = replace(source, threshold=_number(argument, "threshold"))
    if "density" in run:
        if source.form == "twin":
            raise NetworkError(f"{argument.text}: a dense twin computes every pixel: no density")
        source = replace(source, density=_number(argument, "density"))
        try:
            source.load()
        except ValueError as error:
            raise NetworkError(f"{argument.text}: {error}") from error
    return source


def _number(argument: NetworkArgument, key: str) -> float:
    text = argument.run[key]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise NetworkError(f"{argument.text}: {key} is a number, got {text!r}")
    return value


def _engine_spec(
    argument: NetworkArgument, source: NetworkSource, engine: str, threads: int
) -> EngineSpec:
    run = argument.run
    own = run.get("engine")
    if own not in (None, *LIBRARIES):
        known = ", ".join(LIBRARIES)
        raise NetworkError(f"{argument.text}: engine must be one of {known}, got {own!r}")
    if source.form == "sparse":
        if own:
            raise NetworkError(
                f"{argument.text}: a sparse network runs on its own kernels, no engine"
            )
        precision, backend = run.get("precision", "fp32"), run.get("backend")
        if precision == "int8" and (obstacle := obstacle_to_int8(source, backend or "auto")):
            raise NetworkError(f"{argument.text}: {obstacle}")
        env = {"SMSR_ISA": run["isa"]} if "isa" in run else {}
        return sparse_spec(threads, precision, backend or _backend(source, precision), env)
    if "backend" in run or "isa" in run:
        raise NetworkError(f"{argument.text}: backend and isa are for form=sparse")
    library = own or engine
    precision = run.get("precision") or LIBRARIES[library].precisions[0]
    if precision not in LIBRARIES[library].precisions:
        raise NetworkError(f"{argument.text}: {library} is not measured in {precision}")
    if source.form == "masked" and precision == "bf16" and not LIBRARIES[library].model_format:
        raise NetworkError(f"{argument.text}: a network with masks is not measured in bf16")
    return dense_spec(library, threads, precision)


def _threads(argument: NetworkArgument, default: int) -> int:
    text = argument.run.get("threads", str(default))
    if not text.isdecimal() or int(text) < 1:
        raise NetworkError(f"{argument.text}: threads is a whole number from 1, got {text!r}")
    return int(text)


def _backend(source: NetworkSource, precision: str) -> str:
    """Return the backend that "auto" stands for on this machine; what "int8" is for, is known."""
    if precision == "int8":
        return "native"
    if not is_smsr(source):
        return "native" if to_sparse(source.load(), precision).runs_native else "reference"
    kernels = load_kernels()
    usable = kernels is not None and (precision != "bf16" or kernels.has_half())
    return "native" if usable else "reference"


def _default_label(source: NetworkSource, argument: NetworkArgument) -> str:
    run = argument.run
    words = [source.name, source.title if source.form else "", run.get("engine")]
    words += [run.get("backend"), run.get("isa")]
    words += [run["precision"] if run.get("precision", "fp32") != "fp32" else ""]
    words += [f"t={source.threshold:g}" if source.threshold else ""]
    words += [f"{DIAL_MARK[1:]}{source.density:g}" if source.density is not None else ""]
    words += [f"{run['threads']} threads" if "threads" in run else ""]
    return " ".join(word for word in words if word)
