"""The networks that are measured, built from checkpoints."""

from __future__ import annotations

import math

import torch
from torch import nn

from smsr_plugin.archs.dense_twin import DenseTwin
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints import CheckpointError, load, load_weights, read_tensors
from smsr_plugin.compare.engines.spec import Sources
from smsr_plugin.sparse import to_sparse

#: The published RLFN weights take values in 0…255.
RLFN_IMG_RANGE = 255.0


def build(
    network: str, sources: Sources, precision: str, backend: str = "", threshold: float = 0.0
) -> nn.Module:
    """Return a network in evaluation mode, from and to images in 0…1.

    Args:
        network: "twin", "masked", "sparse" or "rlfn".
        sources: The checkpoints.
        precision: "fp32" or "fp64"; for "twin" and "sparse" also "bf16", which still take and
            return float32.
        backend: Of the sparse network, as in `to_sparse`.
        threshold: A pixel is important where logit 1 − logit 0 exceeds this; sparse network only.

    Raises:
        CheckpointError: If the checkpoint cannot be read or is of another network.
        ValueError: If the network is not known in this precision, or has no weights.
    """
    if network == "rlfn" and precision in ("fp32", "fp64"):
        net = load_rlfn(sources)
        return net.double() if precision == "fp64" else net
    return smsr_as(network, load(sources.weights), precision, backend, threshold)


def smsr_as(
    form: str, net: SMSR, precision: str, backend: str = "", threshold: float = 0.0
) -> nn.Module:
    """Return an SMSR as "twin", "masked" or "sparse"; arguments and errors as of `build`.

    `net` is used up: what is returned may be `net` itself, in another precision.
    """
    if form == "sparse":
        return to_sparse(net, precision, threshold, backend)
    if form == "twin":
        # Folded in float64, so that each weight is rounded once.
        twin = DenseTwin(net.double())
        if precision == "fp64":
            return twin
        twin = twin.float()
        if precision == "bf16":
            twin.body.to(torch.bfloat16)
        return twin
    if form != "masked" or precision not in ("fp32", "fp64"):
        raise ValueError(f"there is no network {form!r} in {precision}")
    return net.double() if precision == "fp64" else net


def load_rlfn(sources: Sources) -> RLFN:
    """Load a published RLFN, whose shapes tell its features and its scale.

    Raises:
        CheckpointError: If the file cannot be read or holds another network.
        ValueError: If there is no file.
    """
    if sources.rlfn is None:
        raise ValueError("RLFN needs its weights")
    state = read_tensors(sources.rlfn)
    try:
        num_feat = state["conv_1.weight"].shape[0]
        upscale = math.isqrt(state["upsampler.0.weight"].shape[0] // 3)
        net = RLFN(num_feat=num_feat, upscale=upscale, img_range=RLFN_IMG_RANGE)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{sources.rlfn}: not a published RLFN: {error}") from error
    load_weights(net, sources.rlfn)
    return net.requires_grad_(False).eval()
