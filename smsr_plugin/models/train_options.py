"""The options of SMSR's training, read from the `train` section of an option file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from smsr_plugin import schedules
from smsr_plugin.config import SPARSITY_WARMUP_EPOCHS, TAU_EPOCHS, TAU_MIN

AUTOCAST_DTYPES = {"bf16": torch.bfloat16}


@dataclass(frozen=True)
class TrainOptions:
    """What the `train` section says beyond BasicSR's own keys.

    Attributes:
        iters_per_epoch: Iterations that make an epoch of the schedules. Always written out,
            because it depends on the data set and the batch size, not on how long an epoch of
            the loader happens to be.
        tau_min, tau_epochs: See `smsr_plugin.schedules.tau`.
        sparsity_warmup_epochs: See `smsr_plugin.schedules.sparsity_weight`.
        autocast: None for float32, "bf16" for mixed precision on CPU or CUDA.
        channels_last: Keep features channels-last; faster on CPUs, most of all with bf16.
        skip_nonfinite: How many batches in a row may give a loss or gradient that is NaN or
            infinite; no step is taken on them. One more ends the training.
    """

    iters_per_epoch: int
    tau_min: float = TAU_MIN
    tau_epochs: float = TAU_EPOCHS
    sparsity_warmup_epochs: float = SPARSITY_WARMUP_EPOCHS
    autocast: str | None = None
    channels_last: bool = False
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
        if not isinstance(self.channels_last, bool):
            raise ValueError(f"train.channels_last must be true or false, got {self.channels_last}")
        skip = self.skip_nonfinite
        if isinstance(skip, bool) or not isinstance(skip, int) or skip < 0:
            raise ValueError(
                f"train.skip_nonfinite must be a whole number of at least 0, got {skip!r}"
            )
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

    @classmethod
    def from_train_section(cls, train: Mapping[str, Any]) -> TrainOptions:
        """Read the keys of this class from a `train` section; the others are BasicSR's.

        Raises:
            ValueError: If `iters_per_epoch` is missing or a value is of the wrong kind.
        """
        if "iters_per_epoch" not in train:
            raise ValueError(
                "train.iters_per_epoch is missing: the τ and λ schedules count in epochs; "
                "write e.g. 'iters_per_epoch: 1000' (DIV2K, batch 16)"
            )
        known = cls.__dataclass_fields__
        return cls(**{name: value for name, value in train.items() if name in known})
