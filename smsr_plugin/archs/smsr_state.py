"""The entries of an SMSR's state dict: their shapes, and a density set in them; without PyTorch."""

from __future__ import annotations

from smsr_plugin.archs.density import POINTS, logits_at
from smsr_plugin.archs.smsr_program import Array, State
from smsr_plugin.config import SMSRConfig

#: The one entry that an SMSR may have or not, (K, POINTS); see `density`.
CURVE = "density_curve"


def entry_shapes(config: SMSRConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the entries, in order, but for `CURVE`."""
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


def with_density(state: State, density: float) -> dict[str, Array]:
    """Return a state dict in which threshold 0 computes a share of the pixels.

    As `SMSR.set_density`, but for the curve, which stays that of the network as it was trained.

    Raises:
        ValueError: If there are no curves, or `density` is outside 0…1.
    """
    changed = dict(state)
    for k, amount in enumerate(logits_at(state.get(CURVE), density)):
        name = f"blocks.{k}.spa_mask.deconv.bias"
        changed[name] = state[name].copy()
        changed[name][1] -= amount
    return changed
