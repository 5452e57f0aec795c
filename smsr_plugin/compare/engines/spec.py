"""The engines that are measured, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import nn

#: What a network is called in tables.
NETWORKS = {
    "twin": "dense twin",
    "masked": "masked dense",
    "sparse": "sparse",
    "rlfn": "RLFN-S",
    "matmul": "matrix product",
}


class Networks(Protocol):
    """Builds networks. It is sent to the engines' processes, each of which builds its own."""

    def build(
        self, network: str, precision: str, backend: str = "", threshold: float = 0.0
    ) -> nn.Module:
        """Return a network in evaluation mode, from and to float32 images in 0…1."""
        ...


class Sources(NamedTuple):
    """The checkpoints that networks are loaded from."""

    weights: Path  #: An SMSR.
    rlfn: Path | None = None  #: A published RLFN to compare with.

    def build(
        self, network: str, precision: str, backend: str = "", threshold: float = 0.0
    ) -> nn.Module:
        """See `smsr_plugin.compare.networks.forms.build`."""
        # Deferred, so that torch is in the processes of those engines only that need it.
        from smsr_plugin.compare.networks.forms import build

        return build(network, self, precision, backend, threshold)


class Library(NamedTuple):
    """What runs networks."""

    title: str  #: For people.
    module: str  #: As in `EngineSpec`.
    model_format: str | None = None  #: As in `EngineSpec`.
    precisions: tuple[str, ...] = ("fp32", "bf16")


LIBRARIES = {
    "pytorch": Library("PyTorch, channels-last", ".pytorch"),
    "pytorch-compile": Library("torch.compile, frozen", ".inductor"),
    "onnxruntime": Library("ONNX Runtime", ".onnx_runtime", "onnx", ("fp32",)),
    "openvino": Library("OpenVINO", ".open_vino", "onnx"),
    "ncnn": Library("ncnn", ".ncnn_net", "ncnn"),
}


@dataclass(frozen=True)
class EngineSpec:
    """One network run in one way.

    Attributes:
        name: By which it is selected and reported.
        network: A key of `NETWORKS`, or what `compare.training` trains.
        library: For people: what runs it and how.
        module: The module with its `load` function; relative to `smsr_plugin.compare.engines`
            if it begins with a dot.
        threads: How many it may use.
        precision: "fp32" or "bf16".
        model_format: "onnx" or "ncnn" if it reads a file of that format, else None.
        backend: Of `to_sparse`, for the sparse network; the layout of the features, for a training.
        env: Variables set before its process starts.
        imports: Modules that building the network needs, imported before memory is counted.
    """

    name: str
    network: str
    library: str
    module: str
    threads: int
    precision: str = "fp32"
    model_format: str | None = None
    backend: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()


#: Measures the machine's peak among the engines' turns; it is in no table of engines.
MATMUL = "matmul"


def catalogue(threads: int, with_rlfn: bool) -> list[EngineSpec]:
    """Return every engine, at most `threads` threads each; RLFN's if there are weights for it."""
    specs = [
        *_dense("twin", "", threads),
        dense_spec("pytorch-bf16", "twin", "pytorch", threads, "bf16"),
        dense_spec("pytorch-compile", "twin", "pytorch-compile", threads),
        dense_spec("masked", "masked", "pytorch", threads),
        sparse_spec("reference", threads, backend="reference"),
        sparse_spec("reference-bf16", threads, "bf16", backend="reference"),
        sparse_spec("ours", threads),
        sparse_spec("ours-bf16", threads, "bf16"),
        sparse_spec("ours-avx2", threads, env={"SMSR_ISA": "avx2"}),
        EngineSpec(MATMUL, "matmul", "PyTorch", ".matmul", threads),
    ]
    if threads > 1:
        specs.append(sparse_spec("ours-1-thread", 1))
    if with_rlfn:
        specs += _dense("rlfn", "rlfn-", threads)
    return specs


def _dense(network: str, prefix: str, threads: int) -> list[EngineSpec]:
    """Return the engines that run any dense network."""
    return [
        dense_spec(prefix + name, network, name.removesuffix("-bf16"), threads, precision)
        for name, precision in (
            ("pytorch", "fp32"),
            ("onnxruntime", "fp32"),
            ("openvino", "fp32"),
            ("openvino-bf16", "bf16"),
            ("ncnn", "fp32"),
            ("ncnn-bf16", "bf16"),
        )
    ]


def dense_spec(
    name: str, network: str, library: str, threads: int, precision: str = "fp32"
) -> EngineSpec:
    """Return a network that is run by one of `LIBRARIES`."""
    title, module, model_format, _ = LIBRARIES[library]
    return EngineSpec(name, network, title, module, threads, precision, model_format)


def sparse_spec(
    name: str,
    threads: int,
    precision: str = "fp32",
    backend: str = "native",
    env: Mapping[str, str] | None = None,
) -> EngineSpec:
    """Return the sparse network, run by `to_sparse`'s native kernels or in plain PyTorch."""
    library = f"to_sparse, {backend}"
    return EngineSpec(
        name, "sparse", library, ".pytorch", threads, precision, None, backend, env or {}
    )


def select(specs: Sequence[EngineSpec], patterns: Sequence[str]) -> list[EngineSpec]:
    """Return the engines whose names match a shell-style pattern, all if there are no patterns.

    Raises:
        ValueError: If a pattern matches none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(spec.name, pattern) for spec in specs):
            known = ", ".join(spec.name for spec in specs)
            raise ValueError(f"no engine is called {pattern!r}; known are {known}")
    if not patterns:
        return list(specs)
    return [s for s in specs if any(fnmatchcase(s.name, pattern) for pattern in patterns)]
