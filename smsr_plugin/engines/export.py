"""Networks as the files that other libraries read: ONNX, and ncnn's by way of pnnx.

Written once for each network and image size, in float32; what an engine computes in is its own
affair.
"""

from __future__ import annotations

import importlib
import subprocess
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smsr_plugin.networks.source import NetworkSource
from smsr_plugin.onnx_export import to_onnx

#: Seconds that pnnx may take.
TIME_LIMIT = 300.0


class ExportError(RuntimeError):
    """A network cannot be written in a format: the reason."""


class Exporter:
    """Writes model files into a folder, each once.

    Args:
        folder: An existing folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._done: dict[tuple[str, str, tuple[int, int]], Path | ExportError] = {}

    def model(self, source: NetworkSource, model_format: str, size: tuple[int, int]) -> Path:
        """Return the file of a network for images of (width, height).

        Raises:
            ExportError: If it cannot be written; the same again when asked again.
        """
        key = (repr(source), model_format, size)
        if key not in self._done:
            stem = self.folder / f"network{len(self._done)}"
            try:
                self._done[key] = self._write(source, model_format, size, stem)
            except Exception as error:  # exporters fail in any way
                reason = f"export to {model_format} failed: {type(error).__name__}: {error}"
                self._done[key] = ExportError(reason)
        done = self._done[key]
        if isinstance(done, ExportError):
            raise done
        return done

    def _write(
        self, source: NetworkSource, model_format: str, size: tuple[int, int], stem: Path
    ) -> Path:
        width, height = size
        x = torch.zeros(1, 3, height, width)
        net = source.build("fp32")
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # deprecations inside the exporters
            return WRITERS[model_format](net, x, stem)


def write_onnx(net: nn.Module, x: Tensor, stem: Path, dynamic: bool = False) -> Path:
    """Write one .onnx file with the shape of `x`, or, if `dynamic`, for any batch and size."""
    path = stem.with_suffix(".onnx")
    path.write_bytes(to_onnx(net, x, dynamic=dynamic).SerializeToString())
    return path


def write_openvino(net: nn.Module, x: Tensor, stem: Path) -> Path:
    """Write a pair of .xml and .bin files for any batch and size; return the first."""
    openvino: Any = importlib.import_module("openvino")
    path = stem.with_suffix(".xml")
    model = openvino.convert_model(str(write_onnx(net, x, stem, dynamic=True)))
    openvino.save_model(model, str(path), compress_to_fp16=False)
    return path


def write_ncnn(net: nn.Module, x: Tensor, stem: Path, other: Sequence[int] = ()) -> Path:
    """Write a pair of .ncnn.param and .ncnn.bin files; return the first.

    Args:
        net: The network.
        x: An input of it.
        stem: The name of the files.
        other: The shape of another input, by which pnnx tells what is fixed from what is not.

    Raises:
        ImportError: If pnnx is not installed.
        RuntimeError: If pnnx fails.
    """
    pnnx: Any = importlib.import_module("pnnx")
    traced = stem.with_suffix(".pt")
    module: Any = torch.jit.trace(net, x, check_trace=False)
    module.save(str(traced))
    shape = ",".join(map(str, x.shape))
    # Weights are stored in half precision unless told otherwise.
    command = [pnnx.EXEC_PATH, traced.name, f"inputshape=[{shape}]", "fp16=0"]
    if other:
        command.append(f"inputshape2=[{','.join(map(str, other))}]")
    done = subprocess.run(
        command, cwd=stem.parent, capture_output=True, text=True, timeout=TIME_LIMIT
    )
    path = stem.with_suffix(".ncnn.param")
    if done.returncode or not path.is_file():
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RuntimeError(f"pnnx ended with code {done.returncode}: {' '.join(last)}")
    return path


WRITERS: dict[str, Callable[[nn.Module, Tensor, Path], Path]] = {
    "onnx": write_onnx,
    "ncnn": write_ncnn,
}
