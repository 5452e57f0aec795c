"""ONNX files of the masked-dense network, for images of any size in batches of any size."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.archs.masked_dense import MaskedDense
from smsr_plugin.checkpoints.files import reason_of
from smsr_plugin.names import first_line
from smsr_plugin.staging import replace_file
from smsr_plugin.version import __version__

#: The oldest that PyTorch's exporter writes without converting: most engines read it.
OPSET = 18
SUFFIX = ".onnx"
#: What PyTorch's exporter imports.
EXPORTER = ("onnx", "onnxscript")
#: The shape of the images that the network is traced with: batch, height, width.
TRACED_SHAPE = (2, 6, 8)
#: Shapes that a graph is tried with.
TRIED_SHAPES = ((1, 1, 1), (2, 7, 10), (3, 12, 5))
#: What rounding explains, with room: the largest difference of images in 0…1 (24 bits, sums of a
#: few thousand terms through about 30 layers), and the share of pixels at the threshold.
TOLERANCE = 1e-4
UNDECIDED = 0.01


class OnnxExportError(ValueError):
    """A network cannot be written as ONNX: the reason, in one line."""


def export_onnx(
    net: MaskedNetwork,
    path: str | os.PathLike[str],
    *,
    threshold: float = 0.0,
    masks: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> float | None:
    """Write a network as an ONNX file with hard masks that the graph computes from the image.

    The graph takes `lq`, (batch, C, height, width), float32, RGB in 0…1, and returns `sr` of
    `upscale` times the height and width, not clamped. Every pixel is computed: for inference that
    skips what the masks leave out, see `smsr_plugin.to_sparse`. Where ONNX Runtime is installed,
    the file is tried before it is put in its place.

    Args:
        net: The network; it is left as it is.
        path: Must end in .onnx. An existing file is replaced whole or not at all.
        threshold: A pixel is important where logit 1 − logit 0 exceeds this.
        masks: Give the graph a second output `spa_mask`, (batch, K, height, width) bool.
        metadata: Strings to keep in the file beside ours (`upscale`, `img_range`, …).

    Returns:
        The largest difference from PyTorch that was found when trying the file; None if ONNX
        Runtime is not installed.

    Raises:
        OnnxExportError: If a package is missing, the path does not end in .onnx or cannot be
            written, or the exporter fails or makes a file that computes something else.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise OnnxExportError(f"{path}: must end in {SUFFIX}")
    if not path.parent.is_dir():
        raise OnnxExportError(f"{path}: there is no folder {path.parent}")
    if math.isnan(threshold):
        raise OnnxExportError("the threshold must be a number, got nan")
    network = MaskedDense(net, threshold).float().cpu()
    example = torch.zeros(TRACED_SHAPE[0], net.config.num_in_ch, *TRACED_SHAPE[1:])
    model = to_onnx(network, example, outputs=("sr", "spa_mask"), dynamic=True)
    difference = _try_out(model, network)
    _describe(model, net, masks, {**(metadata or {}), "threshold": f"{threshold:g}"})
    try:
        replace_file(path, model.SerializeToString())
    except (OSError, ValueError) as error:
        raise OnnxExportError(f"{path}: cannot be written: {reason_of(error)}") from error
    return difference


def to_onnx(
    net: nn.Module, x: Tensor, *, outputs: tuple[str, ...] = ("sr",), dynamic: bool = False
) -> Any:
    """Trace a network into an `onnx.ModelProto` with input `lq`, bare of the exporter's notes.

    Args:
        net: The network, in evaluation mode.
        x: An input of it, (B, C, H, W).
        outputs: Names of its outputs, each (B, …, H·n, W·n).
        dynamic: Whether B, H and W may be others than those of `x`, which must not be 1 then.

    Raises:
        OnnxExportError: If a package is missing or the exporter fails.
    """
    missing = [name for name in EXPORTER if importlib.util.find_spec(name) is None]
    if missing:
        raise OnnxExportError(
            f"ONNX export needs {' and '.join(missing)}; install them with "
            f"`pip install {' '.join(missing)}` (extra [onnx])"
        )
    axes = {0: "batch", 2: "height", 3: "width"}
    dims = {axis: torch.export.Dim(name) for axis, name in axes.items()}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # deprecations inside the exporter
            program: Any = torch.onnx.export(
                net,
                (x,),
                input_names=["lq"],
                output_names=outputs,
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=(dims,) if dynamic else None,
                verbose=False,
            )
    except Exception as error:  # exporters fail in any way
        raise OnnxExportError(
            f"PyTorch's exporter failed: {type(error).__name__}: {first_line(error)}"
        ) from error
    model = program.model_proto
    # The exporter keeps the Python sources that each node came from.
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    del model.graph.value_info[:]
    return model


def _try_out(model: Any, network: MaskedDense) -> float | None:
    """Run the model in ONNX Runtime; return its largest difference from PyTorch.

    A logit within rounding of the threshold may be decided either way, and then all that depends on
    it differs; so PyTorch is given the masks of the model, and masks are compared by themselves.

    Returns:
        None if ONNX Runtime is not installed.

    Raises:
        OnnxExportError: If a difference is larger than rounding explains.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    onnxruntime: Any = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    generator = torch.Generator().manual_seed(0)
    differences, disagreeing = [], []
    for batch, height, width in TRIED_SHAPES:
        channels = network.net.config.num_in_ch
        x = torch.rand(batch, channels, height, width, generator=generator)
        x *= torch.linspace(0, 1, width)  # from flat to busy
        sr, spa_mask = map(torch.from_numpy, session.run(None, {"lq": x.numpy()}))
        with torch.no_grad():
            same_masks = network.net(x, spa_mask=spa_mask.float())
            disagreeing.append((network(x)[1] != spa_mask).flatten())
        differences.append((sr - same_masks).abs().max().item())
    largest, share = max(differences), torch.cat(disagreeing).float().mean().item()
    if not largest <= TOLERANCE or share > UNDECIDED:
        raise OnnxExportError(
            f"the exported network is not the same: images differ by up to {largest:.2g}, masks in "
            f"{share:.1%} of the pixels; please report this with the versions of torch "
            f"({torch.__version__}) and onnxscript"
        )
    return largest


def _describe(model: Any, net: MaskedNetwork, masks: bool, metadata: Mapping[str, str]) -> None:
    """Give the model its metadata, readable output shapes, and only the outputs wanted."""
    onnx: Any = importlib.import_module("onnx")
    config = net.config
    sr, spa_mask = model.graph.output
    for axis, name in ((2, "height"), (3, "width")):
        sr.type.tensor_type.shape.dim[axis].dim_param = f"{config.upscale}*{name}"
        spa_mask.type.tensor_type.shape.dim[axis].dim_param = name
    if not masks:
        model.graph.output.remove(spa_mask)
    model.producer_name, model.producer_version = "smsr_plugin", __version__
    ours = {
        "network": f"{type(net).__name__}, masked-dense",
        "upscale": config.upscale,
        "img_range": 1,  # whatever the network computes with inside, images are in 0…1
        "channels": "RGB" if config.num_in_ch == 3 else config.num_in_ch,
        "opset": OPSET,
        "num_feat": config.num_feat,
        "num_layer": config.num_layer,
        "num_block": config.num_block,
    }
    onnx.helper.set_model_props(model, {**metadata, **{k: str(v) for k, v in ours.items()}})
    onnx.checker.check_model(model, full_check=True)
