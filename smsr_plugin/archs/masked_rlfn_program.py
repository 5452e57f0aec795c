"""MaskedRLFN as a program for the engine, from the entries of its state dict; without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.step import Shaped
from smsr_plugin.archs.steps import Conv, ImageConv, Step, Upsample
from smsr_plugin.archs.tile_program import (
    Array,
    State,
    active_convs,
    blend,
    conv_shapes,
    decide_tiles,
    mask_shapes,
    parameters,
    product,
)
from smsr_plugin.archs.tile_steps import LocalAttention

BLOCK_NAMES = tuple(f"block_{number}" for number in range(1, 7))
LAYER_NAMES = ("c1_r", "c2_r", "c3_r")
NEGATIVE_SLOPE = 0.05
#: Channels inside the attention.
ATTENTION_FEAT = 16
#: An entry that only its state dict has.
SIGN = "dense.block_1.c1_r.weight"


def options_of(state: Mapping[str, Shaped]) -> dict[str, int]:
    """Return the arguments that a state dict's shapes imply; num_out_ch is num_in_ch.

    Raises:
        KeyError, IndexError, ValueError: If a tensor that tells is absent or has no such shape.
    """
    num_feat, num_in_ch = state["dense.conv_1.weight"].shape[:2]
    narrow = state.get("substitutes.0.narrow.weight")
    options = {
        "num_in_ch": num_in_ch,
        "num_out_ch": num_in_ch,
        "num_feat": num_feat,
        "upscale": math.isqrt(state["dense.upsampler.0.weight"].shape[0] // max(num_in_ch, 1)),
    }
    empty = [name for name, value in options.items() if not value]
    if empty:
        raise ValueError(f"{empty[0]} is 0")
    return {**options, "num_narrow": 0 if narrow is None else narrow.shape[0]}


def entry_shapes(
    num_in_ch: int, num_out_ch: int, num_feat: int, upscale: int, num_narrow: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state dict's entries, but for the curve."""
    middle = ATTENTION_FEAT
    convs = {
        "conv_1": (num_feat, num_in_ch, 3),
        "conv_2": (num_feat, num_feat, 3),
        "upsampler.0": (num_out_ch * upscale**2, num_feat, 3),
    }
    for name in BLOCK_NAMES:
        convs |= {f"{name}.{layer}": (num_feat, num_feat, 3) for layer in LAYER_NAMES}
        convs |= {
            f"{name}.c5": (num_feat, num_feat, 1),
            f"{name}.esa.conv1": (middle, num_feat, 1),
            f"{name}.esa.conv_f": (middle, middle, 1),
            f"{name}.esa.conv2": (middle, middle, 3),
            f"{name}.esa.conv3": (middle, middle, 3),
            f"{name}.esa.conv4": (num_feat, middle, 1),
        }
    dense = conv_shapes({f"dense.{name}": shape for name, shape in convs.items()})
    blocks, layers = len(BLOCK_NAMES), len(LAYER_NAMES)
    return dense | mask_shapes(num_in_ch, num_feat, layers, blocks, num_narrow)


def masked_rlfn_program(state: State) -> Program[Array]:
    """Return what a MaskedRLFN computes with hard masks; see `MaskedNetwork.program`."""
    options = options_of(state)
    first, first_bias = parameters(state, "dense.conv_1")
    # The image is not shifted: the channel of ones has no weight.
    image = np.concatenate([first, np.zeros_like(first[:, :1])], 1)
    steps: list[Step[Array]] = [ImageConv("block0", image, first_bias), decide_tiles(state)]
    for k, name in enumerate(BLOCK_NAMES):
        block, x = f"dense.{name}", f"block{k}"
        convs = [(f"{block}.{layer}", NEGATIVE_SLOPE) for layer in LAYER_NAMES]
        steps += active_convs(state, k, x, convs)
        xs = x, f"{x}.layer{len(convs) - 1}"
        steps += [
            blend(state, k, x, product(state, f"{block}.c5"), xs, f"{x}.y"),
            _attention(state, f"{block}.esa", f"{x}.y", f"block{k + 1}"),
        ]
    features = f"block{len(BLOCK_NAMES)}"
    tail = parameters(state, "dense.upsampler.0")
    steps += [
        Conv((features,), "features", *parameters(state, "dense.conv_2"), add="block0"),
        Conv(("features",), "residual", *tail, part="tail"),
        Upsample("residual", "none"),
    ]
    return Program(
        options["num_in_ch"],
        options["num_out_ch"],
        options["upscale"],
        len(BLOCK_NAMES),
        tuple(steps),
    )


def _attention(state: State, name: str, x: str, out: str) -> LocalAttention[Array]:
    return LocalAttention(
        x,
        out,
        *product(state, f"{name}.conv1"),
        *parameters(state, f"{name}.conv2"),
        *parameters(state, f"{name}.conv3"),
        *product(state, f"{name}.conv_f"),
        *product(state, f"{name}.conv4"),
    )
