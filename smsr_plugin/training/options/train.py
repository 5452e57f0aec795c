"""The section `train` of an option file: BasicSR's keys, and those of SMSR's training.

The temperature τ, the weight λ of the sparsity loss and the density are pure functions of the
iteration, so that nothing has to be restored on resume.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from msgspec import Meta

from smsr_plugin.config import ITERS_PER_EPOCH, SPARSITY_WARMUP_EPOCHS, TAU_EPOCHS, TAU_MIN
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.values import (
    Count,
    NotNegative,
    Positive,
    Registered,
    Section,
    Size,
    Switch,
    Whole,
    about,
    built,
    fields,
)

AUTOCAST_DTYPES = {"bf16": torch.bfloat16}

Loss = Annotated[Registered | None, about(kind="loss")]
Optimizer = Annotated[
    Registered, about(kind="optimizer", expected="a section with a type", whole=True)
]
Scheduler = Annotated[
    Registered, about(kind="scheduler", expected="a section with a type", whole=True)
]


class Train(Section, kw_only=True):
    """What SRModel reads of `train`.

    Attributes:
        total_iter: Iterations of the training. [count in iterations]
        warmup_iter: Iterations in which the learning rate rises from 0 to `lr`; -1 for none. [write
            -1 for no warm-up]
        ema_decay: Share of the averaged weights that each iteration keeps, such as 0.999; they are
            validated and saved as `params_ema`. 0 for no averaging. [such as 0.999; 0 averages
            nothing]
        optim_g: Optimizer of network_g. [write e.g. `type: Adam` in it]
        scheduler: How the learning rate changes. [write e.g. `type: MultiStepLR` in it]
        pixel_opt: Loss between the result and gt.
        perceptual_opt: Loss between features of the result and of gt, such as PerceptualLoss.
    """

    patterns_are_keys: ClassVar[bool] = False
    patterns: ClassVar[Mapping[str, Any]] = {
        r"\w+_opt": Annotated[Loss, about("A loss.")],
        r"optim_\w+": Annotated[Registered, about("An optimizer.", kind="optimizer")],
    }

    total_iter: Count
    warmup_iter: Annotated[int, Meta(ge=-1)] = -1
    ema_decay: Annotated[float, Meta(ge=0, lt=1)] = 0
    optim_g: Optimizer
    scheduler: Scheduler
    pixel_opt: Loss = None
    perceptual_opt: Loss = None


class AdversarialTrain(Train, kw_only=True):
    """What SRGANModel and ESRGANModel read of `train`.

    Attributes:
        optim_d: Optimizer of network_d. [write e.g. `type: Adam` in it]
        gan_opt: Loss of the discriminator.
        ldl_opt: Loss of the locally discriminative learning.
        net_d_iters: Steps of network_d for one of network_g.
        net_d_init_iters: Iterations in which network_d learns alone.
    """

    optim_d: Optimizer
    gan_opt: Loss = None
    ldl_opt: Loss = None
    net_d_iters: Count = 1
    net_d_init_iters: Whole = 0


Share = Annotated[float, Meta(gt=0, le=1)]


class MaskOptions(Section):
    """`train.masks`: how masks are learned by running quantiles.

    Attributes:
        density: The share of pixels that each block computes in the end. [it is a share of the
            pixels, e.g. {density: 0.4}]
        density_start: The share with which masks begin.
        dense_iters: Up to this iteration every pixel is computed.
        density_iters: Over so many iterations after them the density falls, linearly.
        detail_iters: Over so many iterations after them the weight of `detail_opt` falls to its
            `end_weight`.
        lr: The learning rate of mask predictors; ~ for that of the rest.
    """

    density: Share
    density_start: Share = 0.97
    dense_iters: Whole = 0
    density_iters: Whole = 0
    detail_iters: Whole = 0
    lr: Annotated[float, Meta(gt=0, lt=1)] | None = None

    def density_at(self, current_iter: int) -> float:
        """Return the density of a 1-based iteration; 1 while every pixel is computed."""
        done = current_iter - self.dense_iters
        if done <= 0:
            return 1.0
        share = min(done / self.density_iters, 1.0) if self.density_iters else 1.0
        return self.density + (self.density_start - self.density) * (1 - share)

    def detail_weight(self, current_iter: int, first: float, last: float) -> float:
        """Return the weight of the detail loss at a 1-based iteration."""
        done = current_iter - self.dense_iters
        share = min(done / self.detail_iters, 1.0) if self.detail_iters else 1.0
        return first + (last - first) * share


class TrainOptions(Section):
    """What the `train` section says of SMSR's training, beside its losses.

    Attributes:
        iters_per_epoch: Iterations that make an epoch of the schedules of τ and λ. Always written
            out where there are no `masks`, because it depends on the data set and the batch size,
            not on how long an epoch of the loader happens to be. [the τ and λ schedules count in
            epochs: e.g. 1000 (DIV2K, batch 16)]
        tau_min: The lowest τ, the temperature of soft masks; 1 keeps it at 1.
        tau_epochs: τ = max(`tau_min`, 1 − t / `tau_epochs`) after t epochs.
        sparsity_warmup_epochs: Epochs in which the weight λ of the sparsity loss rises from 0.
        masks: How masks are learned by running quantiles; ~ for the paper's soft masks, with τ and
            the sparsity loss.
        autocast: `bf16` for mixed precision, on CPUs that have it and on CUDA; ~ for float32.
        channels_last: Whether features are kept channels-last, which is faster on CPUs; ~ for true
            on the CPU and false elsewhere.
        accumulate: Into how many parts each batch is cut. They run one after the other and their
            gradients add up: the same step, with the features of one part in memory at a time.
        grad_clip: The largest norm of all gradients together, to which larger ones are scaled down;
            ~ for no limit.
        skip_nonfinite: How many batches in a row may give a loss or gradient that is NaN or
            infinite; no step is taken on them. One more ends the training.
    """

    iters_per_epoch: Size = ITERS_PER_EPOCH
    tau_min: Annotated[float, Meta(gt=0, le=1)] = TAU_MIN
    tau_epochs: Positive = TAU_EPOCHS
    sparsity_warmup_epochs: NotNegative = SPARSITY_WARMUP_EPOCHS
    masks: MaskOptions | None = None
    autocast: Literal["bf16"] | None = None
    channels_last: Switch | None = None
    accumulate: Size = 1
    grad_clip: Positive | None = None
    skip_nonfinite: Whole = 0

    def epochs(self, current_iter: int) -> float:
        """Return t, the epochs that are complete before a 1-based iteration, with their fraction.

        Raises:
            ValueError: If `current_iter` is below 1.
        """
        if current_iter < 1:
            raise ValueError(f"iterations count from 1, got {current_iter}")
        return (current_iter - 1) / self.iters_per_epoch

    def tau(self, current_iter: int) -> float:
        """Return the temperature τ_t = max(tau_min, 1 − t / tau_epochs).

        `tau_min=1` keeps τ constant at 1, as the released x2 weights were probably trained.
        """
        return max(self.tau_min, 1 - self.epochs(current_iter) / self.tau_epochs)

    def warmup(self, current_iter: int) -> float:
        """Return λ_t / λ₀ = min(t / sparsity_warmup_epochs, 1); 1 where there is no warm-up."""
        t, epochs = self.epochs(current_iter), self.sparsity_warmup_epochs
        return 1.0 if t >= epochs else t / epochs

    def memory_format(self, device_type: str) -> torch.memory_format:
        """Return the layout of features on a device."""
        on_cpu = device_type == "cpu"
        channels_last = on_cpu if self.channels_last is None else self.channels_last
        return torch.channels_last if channels_last else torch.contiguous_format

    @classmethod
    def from_train_section(cls, train: Mapping[str, Any]) -> TrainOptions:
        """Read the keys of this class from a `train` section; the others are not read.

        Raises:
            ValueError: If `iters_per_epoch` is missing or a value is of the wrong kind.
        """
        if train.get("masks") is None and "iters_per_epoch" not in train:
            raise OptionError(
                "train.iters_per_epoch is missing: the τ and λ schedules count in epochs; "
                "write e.g. 'iters_per_epoch: 1000' (DIV2K, batch 16)"
            )
        known = {item.name for item in fields(cls)}
        return built("train", {key: train[key] for key in train if key in known}, cls)


class SMSRTrain(TrainOptions, kw_only=True):
    """What SMSRModel reads of `train`.

    Attributes:
        sparsity_opt: Loss of the masks' density, SparsityLoss; its weight rises with λ.
        detail_opt: Loss of the masks' logits with `masks`, DetailLoss.
        teacher_opt: Loss between the result and that of `network_t`, a teacher.
    """

    sparsity_opt: Loss = None
    detail_opt: Loss = None
    teacher_opt: Loss = None
