"""Re-expressing weights for another value range."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from smsr_plugin.checkpoints.errors import CheckpointError

#: How each tensor scales when the range is multiplied by r: by r to this power.
RANGE_POWERS = {"head.0.weight": -1, "tail.0.weight": 1, "tail.0.bias": 1}


def fold_img_range(state_dict: Mapping[str, Tensor], img_range: float) -> dict[str, Tensor]:
    """Re-express an SMSR's weights for a network that works on another value range.

    The network takes and returns 0…1 and computes on x0 = (x − mean)·R inside. With
    r = img_range / R, dividing head.0.weight by r gives the same features, and so the same masks,
    from r·x0; multiplying tail.0.weight and tail.0.bias by r makes the residual r times as large,
    which is what the bicubic upsample of r·x0 needs; dividing by the new range removes r again.
    The result is the same function: exactly so in real numbers, and up to the rounding of these
    three tensors in floating point. From 255 to 1: head.0.weight × 255, tail.0 / 255.

    Args:
        state_dict: An SMSR's state dict; its `img_range` entry says which range it is for.
        img_range: The range wanted, above 0.

    Returns:
        A new dict. The three tensors and `img_range` are new, the others are shared.

    Raises:
        CheckpointError: If `img_range` is not above 0 or `state_dict` is not an SMSR's.
    """
    absent = [key for key in (*RANGE_POWERS, "img_range") if key not in state_dict]
    if absent:
        raise CheckpointError(f"not the state dict of an SMSR: {', '.join(absent)} missing")
    if not 0 < img_range < float("inf"):
        raise CheckpointError(f"img_range must be finite and above 0, got {img_range}")
    ratio = float(img_range) / float(state_dict["img_range"])
    folded = dict(state_dict)
    for key, power in RANGE_POWERS.items():
        tensor = state_dict[key]
        # In double, so that each value is rounded once.
        folded[key] = (tensor.detach().double() * ratio**power).to(tensor.dtype)
    folded["img_range"] = state_dict["head.0.weight"].new_tensor(img_range)
    return folded
