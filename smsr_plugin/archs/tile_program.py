"""The steps that all networks with masks at tiles have in common, from state dicts; no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.density import logits_at
from smsr_plugin.archs.steps import MaskedConv, Slope, Step
from smsr_plugin.archs.tile_steps import EVENNESS, MEAN_SIDES, Blend, DecideTiles, Narrow

Array: TypeAlias = NDArray[np.float64]
#: A network's state dict.
State: TypeAlias = Mapping[str, Array]

#: Channels between the predictor's convolutions.
PREDICTOR_FEAT = 16
#: Of the activation in the narrow path at skipped pixels.
NARROW_SLOPE = 0.05
#: The one entry that a network may have or not, (1, POINTS); see `density`.
CURVE = "density_curve"


def decide_tiles(state: State) -> DecideTiles[Array]:
    """Return the step that decides all masks."""
    convs = [parameters(state, f"predictor.conv{number}") for number in (1, 2, 3)]
    first, second, third = convs
    return DecideTiles(tuple(range(len(third[1]))), *first, *second, *third)


def active_convs(
    state: State, block: int, x: str, convs: Sequence[tuple[str, Slope[Array]]]
) -> list[Step[Array]]:
    """Return a block's convolutions and their slopes; each reads the one before, the first `x`."""
    steps: list[Step[Array]] = []
    for layer, (conv, slope) in enumerate(convs):
        rest = state["constants"][block, layer] if layer < len(convs) - 1 else None
        out = f"block{block}.layer{layer}"
        weight, bias = parameters(state, conv)
        steps.append(MaskedConv(x, out, block, weight, 0, bias, slope, rest))
        x = out
    return steps


def blend(
    state: State, block: int, x: str, join: tuple[Array, Array], xs: tuple[str, ...], out: str
) -> Step[Array]:
    """Return a block's join, a 1×1 convolution of the sum of `xs`, and its substitute of `x`."""
    name = f"substitutes.{block}"
    narrow = None
    if f"{name}.narrow.weight" in state:
        conv = parameters(state, f"{name}.narrow")
        narrow = Narrow(*conv, matrix(state[f"{name}.widen.weight"]), NARROW_SLOPE)
    linear, bias = parameters(state, f"{name}.linear")
    return Blend(xs, x, out, block, *join, matrix(linear), bias, narrow)


def identity(num_feat: int) -> tuple[Array, Array]:
    """Return weight and bias of a join that changes nothing."""
    return np.eye(num_feat), np.zeros(num_feat)


def parameters(state: State, name: str) -> tuple[Array, Array]:
    """Return weight and bias."""
    return state[f"{name}.weight"], state[f"{name}.bias"]


def product(state: State, name: str) -> tuple[Array, Array]:
    """Return weight and bias of a 1×1 convolution, (N, K) and (N,)."""
    weight, bias = parameters(state, name)
    return matrix(weight), bias


def matrix(weight: Array) -> Array:
    """Return the (N, K) weights of a 1×1 convolution."""
    return weight.reshape(weight.shape[:2])


def conv_shapes(convs: Mapping[str, tuple[int, int, int]]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of weights and biases of convolutions: outputs, inputs, side."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs, side) in convs.items():
        shapes |= {f"{name}.weight": (outputs, inputs, side, side), f"{name}.bias": (outputs,)}
    return shapes


def mask_shapes(
    num_in_ch: int, num_feat: int, num_layer: int, num_block: int, num_narrow: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the entries that masks add to a network's state dict."""
    planes, middle = len(MEAN_SIDES) * num_in_ch + 1, PREDICTOR_FEAT
    convs = {
        "predictor.conv1": (middle, planes, 3),
        "predictor.conv2": (middle, middle, 3),
        "predictor.conv3": (num_block, middle, 3),
    }
    shapes: dict[str, tuple[int, ...]] = {"constants": (num_block, num_layer - 1, num_feat)}
    for name in (f"substitutes.{block}" for block in range(num_block)):
        convs[f"{name}.linear"] = num_feat, num_feat, 1
        if num_narrow:
            convs[f"{name}.narrow"] = num_narrow, num_feat, 3
            shapes[f"{name}.widen.weight"] = num_feat, num_narrow, 1, 1
    return shapes | conv_shapes(convs)


def with_density(state: State, density: float) -> dict[str, Array]:
    """Return a state dict in which threshold 0 computes a share of the pixels.

    As `TileMasked.set_density`, but for the curve, which stays that of the network as it was
    fitted.

    Raises:
        ValueError: If there is no curve, or `density` is outside 0…1.
    """
    amount = logits_at(state.get(CURVE), density) / (1 - EVENNESS)
    return {**state, "predictor.conv3.bias": state["predictor.conv3.bias"] - amount}
