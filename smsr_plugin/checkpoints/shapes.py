"""The configuration a state dict's shapes imply, and what is wrong when they imply none."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from torch import Size, Tensor, nn

from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.archs.smsr_program import PEAKS, entry_shapes, optional_shapes
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.keys import shortened
from smsr_plugin.config import SMSRConfig

#: A key that only this network has.
OTHER_NETWORKS = (
    (r"^block_\d+\.c1_r\.eval_conv\.", "SPAN"),
    (r"^block_\d+\.c1_r\.", "RLFN"),
    (r"^IMDB\d+\.", "IMDN"),
    (r"^SCPA_trunk\.", "PAN"),
    (r"^(b\d\.b\d\.body|cascade\.blocks)\.", "CARN"),
    (r"^backbone\.\d+\.conv1x1_sbx\.", "ECBSR"),
    (r"^body\.\d+\.rdb1\.", "RRDBNet (ESRGAN)"),
    (r"^body\.\d+\.residual_group\.", "RCAN"),
    (r"^layers\.\d+\.residual_group\.", "SwinIR"),
    (r"^upconv1\.", "MSRResNet"),
    (r"^conv_after_body\.", "EDSR"),
    (r"^body\.\d+\.weight$", "SRVGGNetCompact"),
)


def infer_config(state: Mapping[str, Tensor]) -> SMSRConfig:
    """Return the configuration of the SMSR that `state` (our key names) belongs to.

    num_in_ch and num_feat come from the head, upscale from the tail, num_block and num_layer from
    the number of blocks and of their convolutions, the rest from the buffers; then every tensor
    is checked against the network they describe.

    Raises:
        CheckpointError: If `state` is not exactly such a network: what is missing, unexpected or
            of another shape, and the likely cause; or if its peaks are out of range.
    """
    config = _guess(state)
    shapes = entry_shapes(config or SMSRConfig())
    if config is not None:
        shapes |= optional_shapes(config, state)
    expected = {key: Size(shape) for key, shape in shapes.items()}
    found = find_mismatches(state, expected)
    if config is None or any(found):
        raise CheckpointError(f"{_likely_cause(found)} ({found})")
    if PEAKS in state and not (state[PEAKS] > 0).all():
        raise CheckpointError(
            f"{PEAKS} must be finite and above 0, got {state[PEAKS].min():g}: the largest level of "
            "8 bits stands for it; leave the entry out"
        )
    return config


class Mismatches(NamedTuple):
    """How a state dict differs from that of a network."""

    missing: list[str]
    unexpected: list[str]
    wrong: list[str]  #: Keys with both shapes, where they differ.

    def __str__(self) -> str:
        parts = [
            f"{len(names)} {what}: {shortened(names)}"
            for names, what in (
                (self.missing, "keys missing"),
                (self.unexpected, "keys unexpected"),
                (self.wrong, "tensors of another shape"),
            )
            if names
        ]
        return "; ".join(parts)


def find_mismatches(state: Mapping[str, Tensor], expected: Mapping[str, Size]) -> Mismatches:
    """Compare a state dict with the shapes that a network's entries have."""
    return Mismatches(
        [key for key in expected if key not in state],
        [key for key in state if key not in expected],
        [
            f"{key} is {tuple(state[key].shape)}, expected {tuple(shape)}"
            for key, shape in expected.items()
            if key in state and state[key].shape != shape
        ],
    )


def expected_shapes(net: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Size]:
    """Return the shapes of a network's entries, with those of `state` that it may have or not."""
    optional = net.optional_shapes if isinstance(net, MaskedNetwork) else {}
    return {
        **{key: value.shape for key, value in net.state_dict().items()},
        **{key: Size(shape) for key, shape in optional.items() if key in state},
    }


def _guess(state: Mapping[str, Tensor]) -> SMSRConfig | None:
    """Return the configuration that the shapes suggest, None where too little is there."""
    needed = ("head.0.weight", "tail.0.weight", "rgb_mean", "img_range")
    blocks = _indices(state, r"^blocks\.(\d+)\.")
    layers = _indices(state, r"^blocks\.0\.convs\.(\d+)\.")
    if any(key not in state for key in needed) or not blocks or not layers:
        return None
    # Each has a weight: a few thousand keys must not describe a network of millions of layers.
    if len(blocks) * len(layers) > len(state):
        return None
    head, tail = state["head.0.weight"], state["tail.0.weight"]
    if head.ndim != 4 or tail.ndim != 4 or state["img_range"].numel() != 1:
        return None
    num_feat, num_in_ch = head.shape[:2]
    upscale = math.isqrt(tail.shape[0] // num_in_ch)
    if tail.shape[0] != num_in_ch * upscale**2:
        raise CheckpointError(
            f"tail.0.weight has {tail.shape[0]} output channels, which is not num_in_ch × "
            f"upscale² for the {num_in_ch} input channels of head.0.weight"
        )
    try:
        return SMSRConfig(
            num_in_ch=num_in_ch,
            num_out_ch=num_in_ch,
            num_feat=num_feat,
            num_layer=len(layers),
            num_block=len(blocks),
            upscale=upscale,
            img_range=_shortest(state["img_range"])[0],
            rgb_mean=tuple(_shortest(state["rgb_mean"])),
        )
    except ValueError as error:
        raise CheckpointError(f"describes no SMSR: {error}") from error


def _indices(state: Mapping[str, Tensor], pattern: str) -> set[str]:
    return {match[1] for match in map(re.compile(pattern).match, state) if match}


def _shortest(tensor: Tensor) -> list[float]:
    """Return float32 values as the shortest decimals that round to them: 0.4488, not 0.44880001."""
    return [float(str(np.float32(value))) for value in tensor.flatten().tolist()]


def network_of(keys: Iterable[str]) -> str | None:
    """Return the name of the network other than SMSR that has such keys, None if unknown."""
    keys = list(keys)
    for pattern, name in OTHER_NETWORKS:
        if any(re.match(pattern, key) for key in keys):
            return name
    return None


def _likely_cause(found: Mismatches) -> str:
    other = network_of(found.unexpected)
    if other is not None:
        return f"holds another network, {other}, not an SMSR"
    if found.missing and not found.unexpected:
        return "holds only part of an SMSR"
    return "does not fit SMSR"
