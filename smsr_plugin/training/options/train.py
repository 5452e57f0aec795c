"""The options of SMSR's training, read from the `train` section of an option file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from smsr_plugin.config import ITERS_PER_EPOCH, SPARSITY_WARMUP_EPOCHS, TAU_EPOCHS, TAU_MIN
from smsr_plugin.training.options import schedules
from smsr_plugin.training.options.masks import MaskOptions

AUTOCAST_DTYPES = {"bf16": torch.bfloat16}


@dataclass(frozen=True)
class TrainOptions:
    """What the `train` section says beyond BasicSR's own keys.

    Attributes:
        iters_per_epoch: Iterations that make an epoch of the schedules. Always written out,
            because it depends on the data set and the batch size, not on how long an epoch of
            the loader happens to be.
        tau_min, tau_epochs: See `smsr_plugin.training.options.schedules.tau`.
        sparsity_warmup_epochs: See `smsr_plugin.training.options.schedules.sparsity_weight`.
        masks: How masks are learned by running quantiles; None for the paper's soft masks with τ
            and the sparsity loss.
        autocast: None for float32, "bf16" for mixed precision on CPU or CUDA.
        channels_last: Keep features channels-last, which is faster on CPUs; None for: on CPUs.
        accumulate: Into how many parts each batch is cut. They run one after the other and the
            gradients add up to those of the batch: the same step, with features of one part in
            memory at a time.
        grad_clip: The largest norm of all gradients together, to which larger ones are scaled
            down; None for no limit.
        skip_nonfinite: How many batches in a row may give a loss or gradient that is NaN or
            infinite; no step is taken on them. One more ends the training.
    """

    iters_per_epoch: int = ITERS_PER_EPOCH
    tau_min: float = TAU_MIN
    tau_epochs: float = TAU_EPOCHS
    sparsity_warmup_epochs: float = SPARSITY_WARMUP_EPOCHS
    masks: MaskOptions | None = None
    autocast: str | None = None
    channels_last: bool | None = None
    accumulate: int = 1
    grad_clip: float | None = None
    skip_nonfinite: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.iters_per_epoch, bool) or not isinstance(self.iters_per_epoch, int):
            raise ValueError(
                "train.iters_per_epoch must be a whole number, e.g. 1000 (DIV2K, batch 16), "
                f"got {self.iters_per_epoch!r}"
            )
        for name in ("tau_min", "tau_epochs", "sparsity_warmup_epochs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"train.{name} must be a number, got {value!r}")
        if self.channels_last is not None and not isinstance(self.channels_last, bool):
            raise ValueError(
                "train.channels_last must be true, false or ~ (true on the CPU), "
                f"got {self.channels_last!r}"
            )
        for name, least in (("skip_nonfinite", 0), ("accumulate", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"train.{name} must be a whole number of at least {least}, got {value!r}"
                )
        clip = self.grad_clip
        if clip is not None and (
            isinstance(clip, bool) or not isinstance(clip, int | float) or not 0 < clip < math.inf
        ):
            raise ValueError(f"train.grad_clip must be a number above 0, or ~, got {clip!r}")
        if self.autocast is not None and self.autocast not in AUTOCAST_DTYPES:
            raise ValueError(
                f"train.autocast must be ~ or one of {sorted(AUTOCAST_DTYPES)}, "
                f"got {self.autocast!r}"
            )
        self.tau(1)  # raises on values out of range, before training starts
        self.warmup(1)

    def tau(self, current_iter: int) -> float:
        """Return τ at a 1-based iteration."""
        return schedules.tau(
            current_iter, self.iters_per_epoch, tau_min=self.tau_min, tau_epochs=self.tau_epochs
        )

    def warmup(self, current_iter: int) -> float:
        """Return λ_t / λ₀ at a 1-based iteration."""
        return schedules.sparsity_weight(
            current_iter, self.iters_per_epoch, 1.0, warmup_epochs=self.sparsity_warmup_epochs
        )

    def memory_format(self, device_type: str) -> torch.memory_format:
        """Return the layout of features on a device."""
        on_cpu = device_type == "cpu"
        channels_last = on_cpu if self.channels_last is None else self.channels_last
        return torch.channels_last if channels_last else torch.contiguous_format

    @classmethod
    def from_train_section(cls, train: Mapping[str, Any]) -> TrainOptions:
        """Read the keys of this class from a `train` section; the others are BasicSR's.

        Raises:
            ValueError: If `iters_per_epoch` is missing or a value is of the wrong kind.
        """
        masks = train.get("masks")
        if masks is not None:
            return cls(**cls._own(train, masks=_mask_options(masks)))
        if "iters_per_epoch" not in train:
            raise ValueError(
                "train.iters_per_epoch is missing: the τ and λ schedules count in epochs; "
                "write e.g. 'iters_per_epoch: 1000' (DIV2K, batch 16)"
            )
        return cls(**cls._own(train))

    @classmethod
    def _own(cls, train: Mapping[str, Any], **read: Any) -> dict[str, Any]:
        own = {name: train[name] for name in cls.__dataclass_fields__ if name in train}
        return own | read


def _mask_options(section: Any) -> MaskOptions:
    known = MaskOptions.__dataclass_fields__
    if not isinstance(section, Mapping) or "density" not in section:
        raise ValueError("train.masks must be a section with a density, e.g. {density: 0.4}")
    unknown = sorted(set(section) - set(known))
    if unknown:
        raise ValueError(f"train.masks has no {', '.join(unknown)}; known are {', '.join(known)}")
    return MaskOptions(**section)
