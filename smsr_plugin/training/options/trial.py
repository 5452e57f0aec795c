"""What an option file names, built and called once on a small pair before anything starts.

Whatever is wrong with the values of a network, loss, optimizer, scheduler, converter or metric
then ends in one line that names the section, and not in a traceback hours later.
"""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from basicsr import metrics as basicsr_metrics
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from smsr_plugin.training.options.errors import OptionError, wrong
from smsr_plugin.training.options.names import (
    UPSCALE_OPTIONS,
    build,
    convert,
    image_channels,
    models,
    network_option,
)
from smsr_plugin.training.options.values import Options

#: Pixels of the lq image, each way; a network with windows takes so many of them.
LQ_SIZE, WINDOWS = 32, 4
#: Pixels of the images that metrics are tried on, inside their border: NIQE's blocks have 96.
METRIC_SIZE = 192
#: Of masks (B, K, H, W) and (1, K, C, L): blocks, channels and layers.
MASKS = 2, 3, 4
#: Losses that compare the result with an image.
IMAGE_LOSSES = ("pixel_opt", "perceptual_opt", "teacher_opt")
SEED = 0


def try_out(opt: Options, is_train: bool) -> None:
    """Build what the options name and call it once; random numbers go on as before.

    Args:
        opt: Options that have passed `check_options`.
        is_train: Whether they are for training.

    Raises:
        OptionError: If something cannot be built or called, with what it says.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = models().get(opt["model_type"])
        trial = Trial(opt) if model is not None and model.images else None
        if is_train:
            _try_training(opt["train"], trial)
        val: Options = opt.get("val") or {}
        if trial is not None and val.get("converter"):
            trial.convert(val["converter"])
        metrics: Options = val.get("metrics") or {}
        for name, keys in metrics.items():
            size = METRIC_SIZE + 2 * int(keys.get("crop_border", 0))
            channels = 3 if trial is None else trial.gt.shape[1]
            try_metric(f"val.metrics.{name}", keys, (size, size), channels)


class Trial:
    """The network of some options with a pair of random images in its size.

    Args:
        opt: The options.

    Raises:
        OptionError: If it cannot be built, or does not map lq to sr of the scale.
    """

    def __init__(self, opt: Options) -> None:
        keys = opt["network_g"]
        with tried("network_g"):
            self.net: nn.Module = build("network", keys)
        _, upscale = network_option(keys, UPSCALE_OPTIONS)
        channels = min(map(image_channels, opt["datasets"].values()))
        scale = opt.get("scale") or (1 if upscale is None else upscale)
        size = WINDOWS * keys["window_size"] if "window_size" in keys else LQ_SIZE
        self.lq = torch.rand(1, channels, size, size)
        self.gt = torch.rand(1, channels, size * scale, size * scale)
        with tried("network_g"), torch.no_grad():
            self.net.eval()
            self._check("network_g", self.net(self.lq))

    @cached_property
    def sr(self) -> Tensor:
        """The result in training."""
        with tried("network_g"):
            return self.net.train()(self.lq)

    def convert(self, keys: Mapping[str, Any]) -> None:
        """Try a converter."""
        with tried("val.converter"), torch.no_grad():
            self._check("val.converter", convert(self.net.eval(), keys)(self.lq))

    def _check(self, key: str, sr: Any) -> None:
        if not isinstance(sr, Tensor) or sr.shape != self.gt.shape:
            got = "×".join(map(str, sr.shape)) if isinstance(sr, Tensor) else type(sr).__name__
            sizes = ["×".join(map(str, image.shape)) for image in (self.gt, self.lq)]
            advice = "its channels and its scale must be those of the data sets"
            raise OptionError(
                f"{key}: expected {sizes[0]} from an lq image of {sizes[1]}, got {got}; {advice}"
            )


def _try_training(train: Options, trial: Trial | None) -> None:
    total: Any = 0
    for key, keys in train.items():
        if key.endswith("_opt") and keys is not None:
            with tried(f"train.{key}"):
                loss = build("loss", keys)
                if trial is not None:
                    total = total + _value_of(loss, key, trial)
    if isinstance(total, Tensor):
        with tried("train"):
            total.backward()
    for key, keys in train.items():
        if key.startswith("optim_"):
            weights = [nn.Parameter(torch.zeros(3, 3))]  # of a network that is not tried
            if key == "optim_g" and trial is not None:
                weights = [weight for weight in trial.net.parameters() if weight.requires_grad]
            with tried(f"train.{key}"):
                optimizer = build("optimizer", keys, weights)
                optimizer.step()
            with tried("train.scheduler"):
                scheduler = build("scheduler", train["scheduler"], optimizer)
                _try_scheduler(scheduler, train["total_iter"])


def _value_of(loss: Callable[..., Any], key: str, trial: Trial) -> Any:
    """Return what a loss gives, or 0 for one that is not known to be called with images or masks.

    PerceptualLoss returns two losses, of which one may be None.
    """
    blocks, channels, layers = MASKS
    size = trial.lq.shape[2:]
    given = {
        "spa_mask": torch.rand(1, blocks, *size, requires_grad=True),
        "ch_mask": torch.rand(1, blocks, channels, layers, requires_grad=True),
        "logits": torch.randn(1, blocks, *size, requires_grad=True),
        "reference": trial.gt,
        "lq": trial.lq,
    }
    names = list(inspect.signature(getattr(loss, "forward", loss)).parameters)
    if set(names) <= set(given):
        return loss(**{name: given[name] for name in names})
    if key not in IMAGE_LOSSES:
        return 0
    value = loss(trial.sr, trial.gt)
    values = cast(tuple[Any, ...], value) if isinstance(value, tuple) else (value,)
    return sum(part for part in values if part is not None)


def _try_scheduler(scheduler: LRScheduler, total_iter: int) -> None:
    """Ask for the learning rate of the second and of the last iteration."""
    for steps in {min(2, total_iter) - 1, total_iter - 1} - {0}:
        scheduler.last_epoch = steps - 1
        scheduler.step()
        for group in scheduler.optimizer.param_groups:
            if not 0 <= group["lr"] < math.inf:
                raise ValueError(f"the learning rate of iteration {steps + 1:,} is {group['lr']}")


def try_metric(key: str, keys: Mapping[str, Any], size: tuple[int, int], channels: int = 3) -> None:
    """Measure random images, as BasicSR hands them to metrics.

    Args:
        key: Of the metric's section, for errors.
        keys: The section.
        size: Height and width of the images.
        channels: Theirs.

    Raises:
        OptionError: If it cannot be measured, or is no number.
    """
    draws = np.random.default_rng(SEED)
    shape = size if channels == 1 else (*size, channels)
    images = {name: draws.integers(0, 256, shape, dtype=np.uint8) for name in ("img", "img2")}
    with tried(key):
        value = float(cast(Any, basicsr_metrics).calculate_metric(images, dict(keys)))
    if math.isnan(value):
        came = f"{value} for images of {size[0]}×{size[1]} (height×width)"
        raise wrong(key, "a number", came, "crop_border may leave nothing to measure")


@contextmanager
def tried(key: str) -> Generator[None]:
    """Make one line of whatever is raised here, beginning with the key."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except OptionError:
        raise
    except Exception as error:
        text = (str(error).strip().splitlines() or [""])[0]
        named = (
            text if text and not isinstance(error, KeyError) else f"{type(error).__name__} {text}"
        )
        told = named if named.startswith(key) else f"{key}: {named}"
        raise OptionError(told) from error
