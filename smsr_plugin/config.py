"""The network's hyper-parameters and the paper's constants.

Paper: Wang et al., "Exploring Sparsity in Image Super-Resolution for Efficient Inference",
CVPR 2021, arXiv 2006.09603.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

UPSCALES = (2, 3, 4)
#: What sparse inference computes in; see `to_sparse`.
PRECISIONS = ("fp32", "bf16", "int8")
#: Mean RGB of DIV2K in 0…1, subtracted before the head and added after the tail.
DIV2K_RGB_MEAN = (0.4488, 0.4371, 0.4040)
#: Sub-images that the field trains DIV2K on: side on HR, and from one to the next.
DIV2K_CROP_SIZE = 480
DIV2K_STEP = 240
#: Channels of the spatial mask predictor, as a fraction of num_feat.
MASK_SQUEEZE = 4
#: Channels of the attention's bottleneck, as a fraction of num_feat.
ATTENTION_SQUEEZE = 16

#: Schedules; one epoch of the released trainer is 1000 iterations of batch 16.
ITERS_PER_EPOCH = 1000
TAU_MIN = 0.4
TAU_EPOCHS = 500
SPARSITY_WARMUP_EPOCHS = 50
#: λ₀ = 0.1 is for images in 0…255; this is the same balance against an L1 loss in 0…1.
SPARSITY_WEIGHT = 0.1 / 255


@dataclass(frozen=True)
class SMSRConfig:
    """What determines the shape of an SMSR network.

    Attributes:
        num_in_ch: Channels of the lq image.
        num_out_ch: Channels of the output; must equal num_in_ch, because the bicubic
            upsample of the input is added to it.
        num_feat: Feature channels C (the paper: 64).
        num_layer: Sparse mask convolutions per block, L (the paper: 4).
        num_block: Sparse mask modules, K (the paper: 5).
        upscale: 2, 3 or 4.
        img_range: The network takes and returns 0…1 and works on values scaled by this inside,
            as BasicSR's EDSR does. 1 by default; weights trained on 0…255 need 255.
        rgb_mean: One value in 0…1 for each input channel.
    """

    num_in_ch: int = 3
    num_out_ch: int = 3
    num_feat: int = 64
    num_layer: int = 4
    num_block: int = 5
    upscale: int = 2
    img_range: float = 1.0
    rgb_mean: tuple[float, ...] = DIV2K_RGB_MEAN

    def __post_init__(self) -> None:
        for name in ("num_in_ch", "num_out_ch", "num_feat", "num_layer", "num_block"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"SMSR: {name} must be a whole number from 1, got {value!r}")
        if self.num_in_ch != self.num_out_ch:
            raise ValueError(
                "SMSR: num_out_ch must equal num_in_ch, because the upsampled input is added to "
                f"the output; got num_in_ch={self.num_in_ch}, num_out_ch={self.num_out_ch}"
            )
        if self.upscale not in UPSCALES:
            raise ValueError(f"SMSR: upscale must be one of {UPSCALES}, got {self.upscale!r}")
        # YAML may give whole numbers and lists.
        object.__setattr__(self, "img_range", float(self.img_range))
        object.__setattr__(self, "rgb_mean", tuple(float(v) for v in self.rgb_mean))
        if not 0 < self.img_range < math.inf:
            raise ValueError(f"SMSR: img_range must be above 0, got {self.img_range!r}")
        if not all(math.isfinite(value) for value in self.rgb_mean):
            raise ValueError(f"SMSR: rgb_mean must be numbers in 0…1, got {self.rgb_mean}")
        if len(self.rgb_mean) != self.num_in_ch:
            raise ValueError(
                f"SMSR: rgb_mean needs one value for each of the {self.num_in_ch} input channels, "
                f"got {len(self.rgb_mean)}"
            )

    @property
    def mask_feat(self) -> int:
        """Channels inside the spatial mask predictor."""
        return max(1, self.num_feat // MASK_SQUEEZE)

    @property
    def attention_feat(self) -> int:
        """Channels of the channel attention's bottleneck."""
        return max(1, self.num_feat // ATTENTION_SQUEEZE)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, fit for JSON."""
        return {**asdict(self), "rgb_mean": list(self.rgb_mean)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SMSRConfig:
        """Build a configuration from plain values.

        Raises:
            ValueError: On an unknown field or a value out of range.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"SMSR: unknown options {unknown}; known are {sorted(known)}")
        return cls(**values)
