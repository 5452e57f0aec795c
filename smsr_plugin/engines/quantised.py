"""Networks quantised to 8 bits after training, by NNCF, as OpenVINO runs them in int8.

Weights of convolutions have a scale for each output channel, features one for each tensor, taken
from what photographs lead to. None of them is one of `compare.images.CROPS`. Convolutions that read
or make the image itself stay in floating point: 8 bits of it are all that there is.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from smsr_plugin.engines.base import Image
from smsr_plugin.engines.open_vino import openvino, signal_stack_kept
from smsr_plugin.images.bicubic import downscale, mod_crop
from smsr_plugin.images.pixels import as_lq

# It would report to a server that it is used; in continuous integration it does not.
os.environ.setdefault("NNCF_CI", "1")
nncf: Any = importlib.import_module("nncf")

#: Of scikit-image, which brings them, in colour and without noise.
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
#: Lq images are half as large as the photographs, whatever the network's scale.
SHRUNK = 2
#: Operations that are not quantised: sums over blocks would lose at every block.
IN_FLOAT = ["Add"]
#: How many crops of the lq images ranges are taken from, and their side.
CROPS, SIDE = 15, 128


def calibration_images() -> list[Image]:
    """Return lq images, (1, 3, `SIDE`, `SIDE`), 0…1, the same at every call.

    Raises:
        ImportError: If scikit-image is not installed.
    """
    data: Any = importlib.import_module("skimage.data")
    generator = np.random.default_rng(0)
    images = []
    for name in PHOTOGRAPHS:
        photograph = downscale(mod_crop(getattr(data, name)(), SHRUNK), SHRUNK)
        for _ in range(CROPS // len(PHOTOGRAPHS)):
            top, left = (generator.integers(side - SIDE + 1) for side in photograph.shape[:2])
            images.append(as_lq(photograph[top : top + SIDE, left : left + SIDE]))
    return images


def outer_convolutions(model: Any) -> list[str]:
    """Return the names of the convolutions that no other separates from the input or the output.

    Args:
        model: Of OpenVINO.
    """
    outer = _nearest(model.get_parameters(), _readers) | _nearest(model.get_results(), _sources)
    return sorted(outer)


def _nearest(start: list[Any], neighbours: Callable[[Any], list[Any]]) -> set[str]:
    todo, seen, found = list(start), set[str](), set[str]()
    while todo:
        node = todo.pop()
        name = node.get_friendly_name()
        if name in seen:
            continue
        seen.add(name)
        if node.get_type_name() == "Convolution":
            found.add(name)
        elif node.get_type_name() != "ShapeOf":  # what is made of sizes is no image
            todo += neighbours(node)
    return found


def _readers(node: Any) -> list[Any]:
    return [port.get_node() for made in node.outputs() for port in made.get_target_inputs()]


def _sources(node: Any) -> list[Any]:
    return [port.get_node() for port in node.input_values()]


def quantise(onnx: Path, path: Path) -> None:
    """Quantise a network.

    Args:
        onnx: The network, for images of any size.
        path: Where it goes, as .xml with a .bin beside it, for images of any size too.
    """
    model = openvino.Core().read_model(str(onnx))
    nncf.set_log_level(logging.ERROR)
    with signal_stack_kept(), redirect_stdout(io.StringIO()):  # it draws progress bars
        images = calibration_images()
        made = nncf.quantize(
            model,
            nncf.Dataset(images),
            subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(
                names=outer_convolutions(model), types=IN_FLOAT, validate=False
            ),
        )
    openvino.save_model(made, str(path), compress_to_fp16=False)


def resize(path: Path, size: tuple[int, int]) -> Path:
    """Write a network of any size anew, for images of (width, height), beside itself."""
    width, height = size
    model = openvino.Core().read_model(str(path))
    model.reshape([1, 3, height, width])
    resized = path.with_stem(f"{path.stem}_{width}x{height}")
    openvino.save_model(model, str(resized), compress_to_fp16=False)
    return resized
