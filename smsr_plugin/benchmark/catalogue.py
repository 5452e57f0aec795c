"""The engines that are measured, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

#: What a network is called in tables.
NETWORKS = {
    "twin": "dense twin",
    "masked": "masked dense",
    "sparse": "sparse",
    "rlfn": "RLFN-S",
    "matmul": "matrix product",
}


class Sources(NamedTuple):
    """The checkpoints that networks are loaded from."""

    weights: Path  #: An SMSR.
    rlfn: Path | None = None  #: A published RLFN to compare with.


@dataclass(frozen=True)
class EngineSpec:
    """One network run in one way.

    Attributes:
        name: By which it is selected and reported.
        network: A key of `NETWORKS`.
        library: For people: what runs it and how.
        module: The module with its `load` function; relative to `smsr_plugin.benchmark.engines`
            if it begins with a dot.
        threads: How many it may use.
        precision: "fp32" or "bf16".
        model_format: "onnx" or "ncnn" if it reads a file of that format, else None.
        backend: Of `to_sparse`; for the sparse network only.
        env: Variables set before its process starts.
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


#: Measures the machine's peak among the engines' turns; it is in no table of engines.
MATMUL = "matmul"


def catalogue(threads: int, with_rlfn: bool) -> list[EngineSpec]:
    """Return every engine, at most `threads` threads each; RLFN's if there are weights for it."""
    specs = [
        *_dense("twin", "", threads),
        EngineSpec("pytorch-bf16", "twin", "PyTorch, channels-last", ".pytorch", threads, "bf16"),
        EngineSpec("pytorch-compile", "twin", "torch.compile, frozen", ".inductor", threads),
        EngineSpec("masked", "masked", "PyTorch, channels-last", ".pytorch", threads),
        _sparse("reference", threads, backend="reference"),
        _sparse("reference-bf16", threads, "bf16", backend="reference"),
        _sparse("ours", threads),
        _sparse("ours-bf16", threads, "bf16"),
        _sparse("ours-avx2", threads, env={"SMSR_ISA": "avx2"}),
        EngineSpec(MATMUL, "matmul", "PyTorch", ".matmul", threads),
    ]
    if threads > 1:
        specs.append(_sparse("ours-1-thread", 1))
    if with_rlfn:
        specs += _dense("rlfn", "rlfn-", threads)
    return specs


def _dense(network: str, prefix: str, threads: int) -> list[EngineSpec]:
    """Return the engines that run any dense network."""
    ort, openvino, ncnn = ".onnx_runtime", ".open_vino", ".ncnn_net"
    return [
        EngineSpec(f"{prefix}{name}", network, library, module, threads, precision, model_format)
        for name, library, module, precision, model_format in (
            ("pytorch", "PyTorch, channels-last", ".pytorch", "fp32", None),
            ("onnxruntime", "ONNX Runtime", ort, "fp32", "onnx"),
            ("openvino", "OpenVINO", openvino, "fp32", "onnx"),
            ("openvino-bf16", "OpenVINO", openvino, "bf16", "onnx"),
            ("ncnn", "ncnn, Winograd", ncnn, "fp32", "ncnn"),
            ("ncnn-bf16", "ncnn", ncnn, "bf16", "ncnn"),
        )
    ]


def _sparse(
    name: str,
    threads: int,
    precision: str = "fp32",
    backend: str = "native",
    env: Mapping[str, str] | None = None,
) -> EngineSpec:
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
