"""MaskedSRVGGNetCompact as a program for the engine, from its state dict; without PyTorch."""

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
    identity,
    mask_shapes,
    parameters,
)

#: An entry that only its state dict has: the slopes of the first activation.
SIGN = "dense.body.1.weight"


def options_of(state: Mapping[str, Shaped]) -> dict[str, int]:
    """Return the arguments that a state dict's shapes imply; num_out_ch is num_in_ch.

    Raises:
        KeyError, IndexError, ValueError: If a tensor that tells is absent or has no such shape.
    """
    num_feat, num_in_ch = state["dense.body.0.weight"].shape[:2]
    # A convolution and its slopes take turns, from the one that sees the image to the last.
    num_conv = sum(name.startswith("dense.body.") for name in state if name.endswith(".bias")) - 2
    narrow = state.get("substitutes.0.narrow.weight")
    tail = state[f"dense.body.{2 * num_conv + 2}.weight"]
    options = {
        "num_in_ch": num_in_ch,
        "num_out_ch": num_in_ch,
        "num_feat": num_feat,
        "num_conv": max(num_conv, 0),
        "num_layer": state["constants"].shape[1] + 1,
        "upscale": math.isqrt(tail.shape[0] // max(num_in_ch, 1)),
    }
    empty = [name for name, value in options.items() if not value]
    if empty:
        raise ValueError(f"{empty[0]} is 0")
    if options["num_conv"] % options["num_layer"]:
        raise ValueError(f"{num_conv} convolutions are no blocks of {options['num_layer']}")
    return {**options, "num_narrow": 0 if narrow is None else narrow.shape[0]}


def entry_shapes(
    num_in_ch: int,
    num_out_ch: int,
    num_feat: int,
    num_conv: int,
    num_layer: int,
    upscale: int,
    num_narrow: int,
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state dict's entries, but for the curve."""
    inputs = [num_in_ch, *[num_feat] * (num_conv + 1)]
    outputs = [*[num_feat] * (num_conv + 1), num_out_ch * upscale**2]
    convs = {
        f"dense.body.{2 * number}": (*sides, 3)
        for number, sides in enumerate(zip(outputs, inputs, strict=True))
    }
    slopes = {f"dense.body.{2 * number + 1}.weight": (num_feat,) for number in range(num_conv + 1)}
    blocks = num_conv // num_layer
    return {
        **conv_shapes(convs),
        **slopes,
        **mask_shapes(num_in_ch, num_feat, num_layer, blocks, num_narrow),
    }


def masked_srvgg_program(state: State) -> Program[Array]:
    """Return what a MaskedSRVGGNetCompact computes with hard masks; see `MaskedNetwork.program`."""
    options = options_of(state)
    layers, blocks = options["num_layer"], options["num_conv"] // options["num_layer"]
    first, first_bias = parameters(state, "dense.body.0")
    # The image is not shifted: the channel of ones has no weight.
    image = np.concatenate([first, np.zeros_like(first[:, :1])], 1)
    slopes = state["dense.body.1.weight"]
    steps: list[Step[Array]] = [ImageConv("block0", image, first_bias, slopes), decide_tiles(state)]
    for k in range(blocks):
        numbers = range(2 * (k * layers + 1), 2 * ((k + 1) * layers + 1), 2)
        convs = [(f"dense.body.{n}", state[f"dense.body.{n + 1}.weight"]) for n in numbers]
        steps += active_convs(state, k, f"block{k}", convs)
        hidden = f"block{k}.layer{layers - 1}"
        join = identity(options["num_feat"])
        steps.append(blend(state, k, f"block{k}", join, (hidden,), f"block{k + 1}"))
    tail = parameters(state, f"dense.body.{2 * options['num_conv'] + 2}")
    steps += [
        Conv((f"block{blocks}",), "residual", *tail, part="tail"),
        Upsample("residual", "nearest"),
    ]
    shape = options["num_in_ch"], options["num_out_ch"], options["upscale"]
    return Program(*shape, blocks, tuple(steps))
