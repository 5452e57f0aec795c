"""SMSR without PyTorch: the entries of its state dict, and its program for the engine.

The mean and the value range are folded away: the first convolution sees [x, 1] in place of
(x − mean)·range, and the bicubic upsample of x − mean plus the mean is that of x, because the
weights of the interpolation sum to 1. Within each layer dense channels come first, and the next
layer and the fuse see them in that order, so that no index is needed when it runs.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.density import POINTS, logits_at
from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import (
    RELU,
    Attention,
    Collect,
    Conv,
    Fuse,
    Hourglass,
    ImageConv,
    MaskedConv,
    Peaks,
    Step,
    Upsample,
)
from smsr_plugin.config import SMSRConfig

#: Entries that an SMSR may have or not: the curves of `density`, (K, POINTS), …
CURVE = "density_curve"
#: … and what the largest level stands for where planes are held in 8 bits, (K, 1 + L): of each
#: block's input, then of the outputs of its layers; finite and above 0.
PEAKS = "feature_peaks"

Array: TypeAlias = NDArray[np.float64]
#: An SMSR's state dict, by our names.
State: TypeAlias = Mapping[str, Array]


def entry_shapes(config: SMSRConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the entries, in order, but for `optional_shapes`."""
    channels, masked, squeezed = config.num_feat, config.mask_feat, config.attention_feat
    shapes: dict[str, tuple[int, ...]] = {"rgb_mean": (1, config.num_in_ch, 1, 1), "img_range": ()}

    def conv(name: str, inputs: int, outputs: int, side: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, side, side)
        shapes[f"{name}.bias"] = (outputs,)

    conv("head.0", config.num_in_ch, channels, 3)
    conv("head.2", channels, channels, 3)
    for k in range(config.num_block):
        block = f"blocks.{k}"
        shapes[f"{block}.ch_mask"] = (1, channels, config.num_layer, 2)
        conv(f"{block}.spa_mask.conv1", channels, masked, 3)
        conv(f"{block}.spa_mask.conv2", masked, masked, 3)
        shapes[f"{block}.spa_mask.deconv.weight"] = (masked, 2, 3, 3)
        shapes[f"{block}.spa_mask.deconv.bias"] = (2,)
        for layer in range(config.num_layer):
            shapes[f"{block}.convs.{layer}.weight"] = (channels, channels, 3, 3)
        conv(f"{block}.fuse", channels * config.num_layer, channels, 1)
        conv(f"{block}.attention.squeeze", channels, squeezed, 1)
        conv(f"{block}.attention.excite", squeezed, channels, 1)
    conv("collect.0", channels * config.num_block, channels, 1)
    conv("collect.2", channels, channels, 3)
    conv("tail.0", channels, config.num_out_ch * config.upscale**2, 3)
    return shapes


def curve_shape(config: SMSRConfig) -> tuple[int, int]:
    """Return the shape of `CURVE`."""
    return config.num_block, POINTS


def peaks_shape(config: SMSRConfig) -> tuple[int, int]:
    """Return the shape of `PEAKS`."""
    return config.num_block, 1 + config.num_layer


def optional_shapes(config: SMSRConfig, names: Container[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of those entries of `names` that an SMSR may have or not."""
    shapes = {CURVE: curve_shape(config), PEAKS: peaks_shape(config)}
    return {name: shape for name, shape in shapes.items() if name in names}


def with_density(state: State, density: float) -> dict[str, Array]:
    """Return a state dict in which threshold 0 computes a share of the pixels.

    As `SMSR.set_density`, but for the curve, which stays that of the network as it was trained.
    The peaks stay too: they were chosen where the network as it was trained computes.

    Raises:
        ValueError: If there are no curves, or `density` is outside 0…1.
    """
    changed = dict(state)
    for k, amount in enumerate(logits_at(state.get(CURVE), density)):
        name = f"blocks.{k}.spa_mask.deconv.bias"
        changed[name] = state[name].copy()
        changed[name][1] -= amount
    return changed


def smsr_program(config: SMSRConfig, state: State) -> Program[Array]:
    """Return what an SMSR computes with hard masks; see `MaskedNetwork.program`."""
    img_range = state["img_range"]
    first, first_bias = _parameters(state, "head.0")
    first = first * img_range
    shift = -(first * state["rgb_mean"]).sum(1, keepdims=True)
    collect, collect_bias = _parameters(state, "collect.0")
    tail, tail_bias = _parameters(state, "tail.0")
    blocks: list[Step[Array]] = []
    planes = ["head"]
    for k in range(config.num_block):
        blocks += _block_steps(config, state, k, planes[-1])
        planes.append(f"block{k}")
    return Program(
        config.num_in_ch,
        config.num_out_ch,
        config.upscale,
        config.num_block,
        (
            ImageConv("hidden", np.concatenate([first, shift], 1), first_bias, RELU),
            Conv(("hidden",), "head", *_parameters(state, "head.2"), part="head"),
            *blocks,
            Collect(tuple(planes[1:]), "collected", _matrix(collect), collect_bias, RELU),
            Conv(("collected",), "features", *_parameters(state, "collect.2"), part="collect"),
            Conv(("features", "head"), "residual", tail / img_range, tail_bias / img_range,
                 part="tail"),
            Upsample("residual", "bicubic", part="bicubic"),
        ),
    )  # fmt: skip


def _block_steps(config: SMSRConfig, state: State, k: int, x: str) -> list[Step[Array]]:
    """Return the steps of block `k` from plane `x` to plane `block{k}`."""
    logits = state[f"blocks.{k}.ch_mask"][0]
    sparse = logits[..., 1] - logits[..., 0] > 0
    channels, layers = config.num_feat, config.num_layer
    columns, bias = _parameters(state, f"blocks.{k}.fuse")
    columns = _matrix(columns)
    steps: list[Step[Array]] = [_hourglass(state, k, x)]
    inputs, value = np.arange(channels), x
    outputs: list[str] = []
    fuse: list[Array] = []
    peaks = [float(peak) for peak in state[PEAKS][k]] if PEAKS in state else None
    for layer in range(layers):
        order = np.argsort(sparse[:, layer], kind="stable")
        dense = channels - int(sparse[:, layer].sum())
        weight = state[f"blocks.{k}.convs.{layer}.weight"]
        out = f"block{k}.layer{layer}"
        of_layer = None if peaks is None else Peaks(*peaks[layer : layer + 2])
        steps.append(MaskedConv(value, out, k, weight[order][:, inputs], dense, peaks=of_layer))
        fuse.append(columns[:, layer * channels : (layer + 1) * channels][:, order])
        outputs.append(out)
        inputs, value = order, out
    attention = _attention(state, f"blocks.{k}.attention")
    weight = np.concatenate(fuse, 1)
    steps.append(Fuse(tuple(outputs), f"block{k}", k, weight, bias, attention, add=x))
    return steps


def _hourglass(state: State, k: int, x: str) -> Hourglass[Array]:
    name = f"blocks.{k}.spa_mask"
    conv1, conv2 = (_parameters(state, f"{name}.{conv}") for conv in ("conv1", "conv2"))
    weight, bias = _parameters(state, f"{name}.deconv")
    # Only the difference of the two logits decides, and the last layer is linear.
    difference, shift = weight[:, 1:] - weight[:, :1], bias[1:] - bias[:1]
    return Hourglass(x, k, *conv1, *conv2, difference, shift)


def _attention(state: State, name: str) -> Attention[Array]:
    squeeze, squeeze_bias = _parameters(state, f"{name}.squeeze")
    excite, excite_bias = _parameters(state, f"{name}.excite")
    return Attention(_matrix(squeeze), squeeze_bias, _matrix(excite), excite_bias)


def _parameters(state: State, name: str) -> tuple[Array, Array]:
    """Return weight and bias."""
    return state[f"{name}.weight"], state[f"{name}.bias"]


def _matrix(weight: Array) -> Array:
    """Return the (N, K) weights of a 1×1 convolution."""
    return weight.reshape(weight.shape[:2])
