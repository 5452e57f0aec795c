"""The engines that run networks, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

#: Height, width and depth of the matrix product that measures the machine's peak.
MATMUL_SIDE = 2048

#: As `EngineSpec.backend`: by inductor with frozen weights, which packs them and fuses
#: convolutions with ReLU.
COMPILED = "compiled"


class Library(NamedTuple):
    """What runs networks."""

    title: str  #: For people.
    module: str  #: As in `EngineSpec`.
    model_format: str | None = None  #: As in `EngineSpec`.
    precisions: tuple[str, ...] = ("fp32", "bf16")
    backend: str = ""  #: As in `EngineSpec`.
    calibrated: bool = False  #: Whether its file is made with photographs, for long.


LIBRARIES = {
    "pytorch": Library("PyTorch, channels-last", ".pytorch"),
    "pytorch-compile": Library("torch.compile, frozen", ".pytorch", backend=COMPILED),
    "onnxruntime": Library("ONNX Runtime", ".onnx_runtime", "onnx", ("fp32",)),
    "openvino": Library("OpenVINO", ".open_vino", "onnx"),
    "openvino-int8": Library(
        "OpenVINO, quantised by NNCF", ".open_vino", "int8", ("int8",), calibrated=True
    ),
    "ncnn": Library("ncnn", ".ncnn_net", "ncnn"),
}


@dataclass(frozen=True)
class EngineSpec:
    """One way to run a network.

    Attributes:
        name: By which it is reported.
        library: For people: what runs it and how.
        module: The module with its `load` function; relative to `smsr_plugin.engines` if
            it begins with a dot.
        threads: How many it may use.
        precision: "fp32", "bf16" or "int8".
        model_format: "onnx", "ncnn" or "int8" (OpenVINO IR) if it reads a file of that format,
            else None.
        backend: Of `to_sparse`, for the sparse form; `COMPILED` or none for others in PyTorch; the
            variant, for a training.
        env: Variables set before its process starts.
        imports: Modules that building the network needs, imported before memory is counted.
    """

    name: str
    library: str
    module: str
    threads: int
    precision: str = "fp32"
    model_format: str | None = None
    backend: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()


def dense_spec(library: str, threads: int, precision: str = "") -> EngineSpec:
    """Return one of `LIBRARIES` as an engine without a name; by default in its first precision."""
    title, module, model_format, precisions, backend, _ = LIBRARIES[library]
    precision = precision or precisions[0]
    return EngineSpec("", title, module, threads, precision, model_format, backend)


def sparse_spec(
    threads: int, precision: str, backend: str, env: Mapping[str, str] | None = None
) -> EngineSpec:
    """Return the sparse form's engine: `to_sparse`'s native kernels, or plain PyTorch."""
    library = f"to_sparse, {backend}"
    return EngineSpec("", library, ".pytorch", threads, precision, None, backend, env or {})
