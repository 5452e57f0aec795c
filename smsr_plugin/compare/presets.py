"""Comparisons that have a name: what they compare, on which images, how often.

- "engines": each network in every engine that can run it, an SMSR in every form and way
- "density": time of a sparse SMSR against the density of its masks, beside the dense engines
- "frontier": quality against time: networks with masks over their dial, in bfloat16 where that is
  fast or in the precision that they name, the others in the fastest engine, in float32 and in
  bfloat16, or in the one that they name
- "training": iterations of `SMSR`'s training against the formulas taken literally
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from smsr_plugin.archs.masked import as_masked
from smsr_plugin.compare.images import CROPS, Case, ImageSource, list_cases
from smsr_plugin.compare.resolve import (
    DIAL_MARK,
    ComparedNetwork,
    compared,
    has_masks,
    is_smsr,
    name_networks,
    obstacle_to_int8,
    scaled_source,
)
from smsr_plugin.engines.process import Schedule
from smsr_plugin.engines.spec import EngineSpec
from smsr_plugin.engines.training import CHANNELS_LAST, NAIVE
from smsr_plugin.networks.find import NetworkArgument, NetworkError
from smsr_plugin.networks.source import NetworkSource
from smsr_plugin.sparse.native.kernels import load_kernels

#: The label of the engine that measures the machine's peak, and what it is.
MATMUL, MATMUL_TITLE = "matmul", "matrix product"
#: The label of an SMSR in 8 bits, which not every one runs in.
INT8 = "ours-int8"
#: Mean densities at which the engines of `SWEPT` run; the others run as they are.
DENSITIES = tuple(step / 10 for step in range(11))
SWEPT = ("ours", "ours-bf16", INT8)
#: Positions of a dial that a frontier is drawn through.
DIAL = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3)
#: The engine that is fastest with most networks without masks.
FASTEST = "openvino"
#: The training batch: images, and the side of each lq image.
BATCH, SIDE = 16, 48

_DENSE = (
    {"engine": "pytorch"},
    {"engine": "onnxruntime"},
    {"engine": "openvino"},
    {"engine": "openvino", "precision": "bf16"},
    {"engine": "openvino-int8"},
    {"engine": "ncnn"},
    {"engine": "ncnn", "precision": "bf16"},
)
_TWIN = (
    *_DENSE,
    {"engine": "pytorch", "precision": "bf16"},
    {"engine": "pytorch-compile"},
)
_SPARSE: Mapping[str, Mapping[str, str]] = {
    "masked": {"form": "masked"},
    "reference": {"backend": "reference"},
    "reference-bf16": {"backend": "reference", "precision": "bf16"},
    "ours": {"backend": "native"},
    "ours-bf16": {"backend": "native", "precision": "bf16"},
    INT8: {"backend": "native", "precision": "int8"},
    "ours-avx2": {"backend": "native", "isa": "avx2"},
    "ours-1-thread": {"backend": "native", "threads": "1"},
}


@dataclass(frozen=True)
class Preset:
    """A comparison that has a name.

    Attributes:
        images: What it is measured on unless images are named.
        schedule: How often networks run.
        details: Whether the difference from float64 and the parts' times are asked for too.
        fresh: Whether each image has processes of its own.
    """

    images: Sequence[str]
    schedule: Schedule
    details: bool = False
    fresh: bool = True


PRESETS = {
    "engines": Preset(tuple(CROPS), Schedule(), details=True),
    "density": Preset(("rocket",), Schedule()),
    "frontier": Preset((), Schedule(rounds=3), fresh=False),
    # Iterations are long, so few are untimed.
    "training": Preset((), Schedule(rounds=12, warm_up=1)),
}


def preset_networks(
    preset: str,
    arguments: Sequence[NetworkArgument],
    scale: int,
    threads: int,
    patterns: Sequence[str] = (),
) -> list[ComparedNetwork]:
    """Return what a preset compares.

    Args:
        preset: Of `PRESETS`.
        arguments: The networks; none for "training".
        scale: Of all networks.
        threads: Of each engine at most.
        patterns: Shell-style patterns of labels; none takes all.

    Raises:
        NetworkError, CheckpointError, OptionError: If a network cannot be had.
        ValueError: If a pattern matches no label.
    """
    if preset == "training":
        if arguments:
            raise NetworkError(f"{arguments[0].text}: the preset training brings its own networks")
        return select(name_networks(_trainings(threads)), patterns)
    found = [(argument, scaled_source(argument, scale)) for argument in arguments]
    if not found:
        raise NetworkError(f"the preset {preset} needs a NETWORK")
    if preset == "frontier":
        ways = [way for each in found for way in _frontier(*each, threads)]
        return select(name_networks(ways), patterns)
    networks: list[ComparedNetwork] = []
    taken = False
    for argument, source in found:
        sparse = is_smsr(source)
        # The first SMSR's engines are called by their own names.
        prefix = "" if sparse and not taken else f"{argument.run.get('label', source.name)}-"
        taken |= sparse
        for label, run in _ways(source, threads, patterns).items():
            run = {**argument.run, **run, "label": prefix + label}
            networks.append(compared(replace(argument, run=run), source, "pytorch", threads))
    networks.append(_matmul(threads))
    if preset == "density":
        networks = [n for network in networks if (n := _swept(network)) is not None]
    return select(name_networks(networks), patterns)


def select(networks: Sequence[ComparedNetwork], patterns: Sequence[str]) -> list[ComparedNetwork]:
    """Return the networks whose labels match a pattern, all if there are no patterns.

    Raises:
        ValueError: If a pattern matches none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(network.label, pattern) for network in networks):
            known = ", ".join(network.label for network in networks)
            raise ValueError(f"no engine is called {pattern!r}; known are {known}")
    if not patterns:
        return list(networks)
    return [n for n in networks if any(fnmatchcase(n.label, pattern) for pattern in patterns)]


def preset_images(preset: str, arguments: Sequence[str]) -> list[ImageSource]:
    """Return the images of a preset; errors as of `list_cases`."""
    if preset == "training":
        if arguments:
            raise NetworkError(f"{arguments[0]}: the preset training makes its own images")
        return [ImageSource("training", f"{BATCH} images of noise")]
    if not arguments and not PRESETS[preset].images:
        raise NetworkError(f"the preset {preset} needs --images: folders of HR images")
    return list_cases(arguments or PRESETS[preset].images)


def noise(image: ImageSource) -> Case:
    """Return the batch that trainings run on."""
    shape = (BATCH, 3, SIDE, SIDE)
    return Case(image, np.random.default_rng(0).random(shape, dtype=np.float32))


def _ways(
    source: NetworkSource, threads: int, patterns: Sequence[str]
) -> dict[str, Mapping[str, str]]:
    """Return the ways to run a network by their labels; int8 where it can be, or is named."""
    dense = _TWIN if is_smsr(source) else _DENSE
    ways: dict[str, Mapping[str, str]] = {}
    for run in dense:
        half = run.get("precision") == "bf16"
        ways[run["engine"] + ("-bf16" if half else "")] = run
    if not is_smsr(source):
        return ways
    ways = {label: {**run, "form": "twin"} for label, run in ways.items()} | dict(_SPARSE)
    if threads == 1:
        del ways["ours-1-thread"]
    if INT8 not in patterns and obstacle_to_int8(source):
        del ways[INT8]
    return ways


def _frontier(
    argument: NetworkArgument, source: NetworkSource, threads: int
) -> Iterator[ComparedNetwork]:
    """Yield a network where it can be in quality and time, or in the engine that it names."""
    if "engine" in argument.run:
        yield compared(argument, source, FASTEST, threads)
        return
    label = argument.run.get("label", source.name)
    ways: dict[str, Mapping[str, str]]
    if has_masks(source):
        half = (kernels := load_kernels()) is not None and kernels.has_half()
        run = {"precision": argument.run.get("precision", "bf16" if half else "fp32")}
        # SMSRs that were trained without densities have no dial.
        dial = DIAL if as_masked(source.load(), "a dial").density_curve is not None else ()
        ways = {f"{label}{DIAL_MARK}{d:g}": {**run, "density": f"{d:g}"} for d in dial}
        ways = ways or {label: run}
    else:
        engine = {"engine": FASTEST}
        ways = {label: engine, f"{label} bf16": {**engine, "precision": "bf16"}}
    for name, run in ways.items():
        run = {**argument.run, **run, "label": name}
        yield compared(replace(argument, run=run), source, "pytorch", threads)


def _matmul(threads: int) -> ComparedNetwork:
    return ComparedNetwork(
        MATMUL, "", MATMUL_TITLE, None, EngineSpec(MATMUL, "PyTorch", ".pytorch", threads)
    )


def _swept(network: ComparedNetwork) -> ComparedNetwork | None:
    """Return a network as a sweep runs it; None where it has no place there."""
    if network.label in SWEPT:
        return replace(network, densities=DENSITIES)
    form = network.source and network.source.form
    return network if form in (None, "twin") else None


def _trainings(threads: int) -> list[ComparedNetwork]:
    module = ".training"
    layouts = {"": "contiguous", CHANNELS_LAST: "channels-last, the default"}
    ways = [("naive", "fp32", NAIVE, "the formulas, literally")]
    ways += [
        ("-".join(filter(None, ("ours", precision, layout))), precision, layout, title)
        for precision in ("fp32", "bf16")
        for layout, title in layouts.items()
    ]
    return [
        ComparedNetwork(
            label, "", "SMSR", None, EngineSpec(label, title, module, threads, precision, None, way)
        )
        for label, precision, way, title in ways
    ]
