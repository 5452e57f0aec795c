"""Networks as the files that other libraries read: ONNX, ncnn's by way of pnnx, OpenVINO's.

Those of a comparison are written once for each network and image size, in float32; what an engine
computes in is its own affair. Only quantised ones hold 8 bits and are made once for each network.
Those with every pixel computed are loaded by their library and compared with the network before
they are put in place.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from smsr_plugin.archs.dense_twin import DenseTwin
from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.tile_masked import TileMasked
from smsr_plugin.engines.base import Engine, Input, Job, import_engine
from smsr_plugin.engines.spec import LIBRARIES, dense_spec
from smsr_plugin.lazy import advice
from smsr_plugin.names import first_line
from smsr_plugin.networks.source import NetworkSource
from smsr_plugin.onnx_export import TOLERANCE, OnnxExportError, to_onnx
from smsr_plugin.staging import replace_file

#: Seconds that pnnx may take.
TIME_LIMIT = 300.0
#: Height and width that a network is traced with, and those that its file is tried with.
TRACED = (24, 32)
OTHER = (36, 44)
TRIED = ((24, 32), (33, 20), (17, 50))
#: The format of quantised networks; as a size, that of a file for any.
QUANTISED, ANY_SIZE = "int8", (0, 0)


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
            except ExportError as error:
                self._done[key] = error
            except ModuleNotFoundError as error:
                self._done[key] = ExportError(f"export to {model_format} failed: {advice(error)}")
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
        if model_format == QUANTISED and size != ANY_SIZE:
            calibrated = self.model(source, QUANTISED, ANY_SIZE)
            return _quantised().resize(calibrated, size)
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


def write_quantised(net: nn.Module, x: Tensor, stem: Path) -> Path:
    """Write a quantised pair of .xml and .bin files for any size, whatever `x`; return the first.

    Raises:
        ImportError: If NNCF, OpenVINO or scikit-image is not installed.
    """
    quantised = _quantised()  # first, because an absent library should not cost an export
    path = stem.with_suffix(".xml")
    quantised.quantise(write_onnx(net, torch.zeros(2, 3, *TRACED), stem, dynamic=True), path)
    return path


def _quantised() -> Any:
    return importlib.import_module("smsr_plugin.engines.quantised")


WRITERS: dict[str, Callable[[nn.Module, Tensor, Path], Path]] = {
    "onnx": write_onnx,
    "ncnn": write_ncnn,
    QUANTISED: write_quantised,
}


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        library: Of `LIBRARIES`: what it is tried in.
        beside: The suffix of the file with its weights, which has the same name; empty for none.
    """

    library: str
    beside: str = ""


#: By the suffix of the file that is named.
FORMATS = {
    ".onnx": Format("onnxruntime"),
    ".xml": Format("openvino", ".bin"),
    ".param": Format("ncnn", ".bin"),
}


@singledispatch
def every_pixel(net: MaskedNetwork) -> nn.Module:
    """Return what a network with masks is where every pixel is important: no masks, no predictor.

    Raises:
        ExportError: If nothing is known of its class.
    """
    raise ExportError(f"{type(net).__name__} has no form in which every pixel is computed")


@every_pixel.register
def _(net: SMSR) -> nn.Module:
    return DenseTwin(net)


@every_pixel.register
def _(net: TileMasked) -> nn.Module:
    return net.dense


def export_every_pixel(net: MaskedNetwork, path: str | os.PathLike[str]) -> float:
    """Write a network, every pixel computed, as a file for images (1, 3, H, W) of any size.

    Args:
        net: The network; it is left as it is.
        path: Ends in .onnx, .xml (OpenVINO IR) or .param (ncnn); the last two have a .bin beside
            them. Existing files are replaced.

    Returns:
        The largest difference of images from the network's with all masks open.

    Raises:
        ExportError: If a package is missing, the path cannot be, an exporter fails, or its file
            computes something else.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ExportError(f"{path}: must end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise ExportError(f"{path}: there is no folder {path.parent}")
    kind, net = FORMATS[path.suffix], net.float().cpu().eval()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # deprecations inside the exporters
                written = _written(every_pixel(net), path.suffix, Path(folder) / "network")
            difference = _try_out(net, kind.library, written)
        except ImportError as error:
            raise ExportError(f"{error}; pip install 'smsr_plugin[bench]'") from error
        except (ExportError, OnnxExportError) as error:
            raise ExportError(str(error)) from error
        except Exception as error:  # exporters fail in any way
            raise ExportError(f"{kind.library}: {first_line(error)}") from error
        try:
            if kind.beside:
                weights = written.with_suffix(kind.beside).read_bytes()
                replace_file(path.with_suffix(kind.beside), weights)
            replace_file(path, written.read_bytes())
        except OSError as error:
            raise ExportError(f"{path}: cannot be written: {error.strerror}") from error
    return difference


def _written(twin: nn.Module, suffix: str, stem: Path) -> Path:
    twin = twin.requires_grad_(False).eval()
    x = torch.zeros(1, 3, *TRACED)
    if suffix == ".param":
        return write_ncnn(twin, x, stem, (1, 3, *OTHER))
    x = x.repeat(2, 1, 1, 1)  # a side of 1 would be kept as it is
    if suffix == ".xml":
        return write_openvino(twin, x, stem)
    return write_onnx(twin, x, stem, dynamic=True)


def _try_out(net: MaskedNetwork, library: str, path: Path) -> float:
    """Return the largest difference from the network with all masks open.

    Raises:
        ExportError: If it is larger than rounding explains.
    """
    spec = dense_spec(library, 1)
    engine: Engine = import_engine(spec.module).load(Job(spec, None, path))
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for height, width in TRIED:
        x = torch.rand(1, 3, height, width, generator=generator)
        found = torch.from_numpy(engine.output(engine.run(engine.prepare(Input(x.numpy())))))
        largest = max(largest, _difference(net, x, found))
    if not largest <= TOLERANCE:
        raise ExportError(
            f"what {LIBRARIES[library].title} makes of it is not the same: images differ by up to "
            f"{largest:.2g}"
        )
    return largest


@torch.inference_mode()
def _difference(net: MaskedNetwork, x: Tensor, found: Tensor) -> float:
    masks = torch.ones(1, net.config.num_block, *x.shape[2:])
    sr = net(x, spa_mask=masks)
    assert isinstance(sr, Tensor)
    return (sr - found).abs().max().item() if sr.shape == found.shape else float("inf")
