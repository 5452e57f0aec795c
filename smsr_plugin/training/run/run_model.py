"""A BasicSR model of any type with what a training needs around each of its methods."""

from __future__ import annotations

import logging
import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from smsr_plugin.training.data.data_order import IterationSampler, seed_iteration
from smsr_plugin.training.data.loaders import DataFacts
from smsr_plugin.training.options import names
from smsr_plugin.training.options.errors import (
    VALUE_LENGTH,
    NonFiniteError,
    OptionError,
    RunError,
    mendable,
    suspects,
)
from smsr_plugin.training.options.values import Options
from smsr_plugin.training.run.facts import changed_facts, parts, run_facts
from smsr_plugin.training.run.interrupt import Watch
from smsr_plugin.training.run.resume import take_state
from smsr_plugin.training.run.saving import HISTORY_FILE, Saver, ValidationHistory


class DistributedModel(BaseModel):
    """What a BasicSR model of any type does differently, because it may be one of several.

    A model whose class says `shares_validation = True` infers its share of the images. Others
    validate in the first process, on the bare network: in its distributed wrapping it would wait
    for those of the other processes.
    """

    nondist_validation: Callable[..., None]

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """As BasicSR's method, which asks for a CUDA device in each distributed training."""
        if not self.opt["dist"] or self.device.type == "cuda":
            return super().model_to_device(net)
        # With features channels-last the gradients are so too, and PyTorch warns of the copies.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(net.to(self.device))

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: Any = "params"
    ) -> None:
        """As the model's method; BasicSR's tells of weights that do not fit on many lines."""
        try:
            super().load_network(net, load_path, strict, param_key)
        except (KeyError, RuntimeError) as error:
            reason = f"no entry {param_key}" if isinstance(error, KeyError) else _joined(error)
            network = type(self.get_bare_model(net)).__name__
            raise OptionError(f"{load_path} does not fit {network}: {reason}") from error

    def reduce_loss_dict(self, loss_dict: Mapping[str, Tensor]) -> OrderedDict[str, float]:
        """Average losses over the processes, in all of them; BasicSR does so in the first."""
        means = torch.stack([loss.detach().mean() for loss in loss_dict.values()])
        if self.opt["dist"]:
            torch.distributed.all_reduce(means)
            means /= self.opt["world_size"]
        return OrderedDict(zip(loss_dict, means.tolist(), strict=True))

    def dist_validation(self, *args: Any, **kwargs: Any) -> None:
        if getattr(self, "shares_validation", False):
            super().dist_validation(*args, **kwargs)  # type: ignore[misc]
        elif self.opt["rank"] == 0:
            wrapped, self.net_g = self.net_g, self.get_bare_model(self.net_g)
            try:
                self.nondist_validation(*args, **kwargs)
            finally:
                self.net_g = wrapped


def _joined(error: Exception) -> str:
    return " ".join(str(error).split())[:VALUE_LENGTH]


class Progress:
    """A bar on stderr, as a context; without a terminal nothing at all. Log lines go above it.

    Args:
        total_iter: The iterations of the whole training.
        start_iter: Those done before.
        shown: False for no bar.
    """

    def __init__(self, total_iter: int, start_iter: int = 0, shown: bool = True) -> None:
        self._total, self._start, self._shown = total_iter, start_iter, shown
        self._bar: tqdm[Any] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> None:
        if not self._shown:
            return
        # None: on a terminal
        bar = tqdm(total=self._total, initial=self._start, unit="iter", disable=None)
        if bar.disable:
            return
        self._bar = bar
        self._stack.enter_context(bar)
        self._stack.enter_context(logging_redirect_tqdm(loggers=[logging.getLogger("basicsr")]))

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if self._bar is not None and kind is None:
            self._bar.update(self._total - self._bar.n)  # no next iteration tells of the last
        self._stack.close()

    def begin(self, current_iter: int, losses: Mapping[str, float]) -> None:
        """Show that an iteration begins, and the losses of the one before."""
        if self._bar is not None:
            shown = {name: f"{value:.3g}" for name, value in losses.items()}
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(current_iter - 1 - self._bar.n)


ADVICE = "lower the learning rate or look at these images"


def check_losses(current_iter: int, losses: Mapping[str, float], images: Sequence[str]) -> None:
    """Raise NonFiniteError if a loss of a step is NaN or infinite.

    Args:
        current_iter: The iteration.
        losses: By name, the same in all processes.
        images: The paths or keys of this process's batch.
    """
    if not all(map(math.isfinite, losses.values())):
        # All processes log the same losses, so that all of them are here.
        raise NonFiniteError(current_iter, losses, suspects(True, images))


@contextmanager
def nonfinite_explained(saver: Saver) -> Iterator[None]:
    """Make a RunError of a NonFiniteError, with what to do and what was saved last."""
    try:
        yield
    except NonFiniteError as error:
        raise RunError(f"{error}; {ADVICE}; {saver.last_usable()}") from error


Model = TypeVar("Model", bound=BaseModel)


class Start(NamedTuple):
    """Where a training starts."""

    iteration: int  #: The last that was done before.
    sampler: IterationSampler  #: Knows the epoch.
    data: DataFacts  #: What a state notes of the data set.


class RunModel(DistributedModel):
    """What a training adds to a model; each method says in which order.

    `build` makes one class of this one and the model's own, which every `super()` leads to. A model
    whose class says `finds_nonfinite = True` raises NonFiniteError before it steps; of others the
    losses that they log are looked at.

    Args:
        opt: The options, as BasicSR's models take them.
        start: Where the training starts.
    """

    def __init__(self, opt: Options, start: Start) -> None:
        super().__init__(opt)
        path, total_iter = opt["path"], int(opt["train"]["total_iter"])
        metrics = (opt.get("val") or {}).get("metrics") or {}
        self.sampler, self.total_iter = start.sampler, total_iter
        self.facts = run_facts(opt, start.data)
        self.history = ValidationHistory(
            Path(path["experiments_root"]) / HISTORY_FILE, metrics, start.iteration
        )
        self.saver = Saver(opt, start.iteration, self.history)
        self.progress = Progress(total_iter, start.iteration, shown=opt["rank"] == 0)
        self.watch = Watch(self.save_iteration, self.saver)
        self.batch: Sequence[str] = ()
        self.validated: dict[Any, int] = {}  # when, by loader

    def get_optimizer(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, optim_type: str, params: Iterable[Tensor], lr: float, **kwargs: Any
    ) -> Optimizer:
        """Build any optimizer of torch; BasicSR's method knows Adam alone."""
        return names.build("optimizer", {"type": optim_type, "lr": lr, **kwargs}, params)

    def setup_schedulers(self) -> None:
        """Build any scheduler of torch; BasicSR's method knows three of its own."""
        keys = self.opt["train"]["scheduler"]
        self.schedulers += [names.build("scheduler", keys, part) for part in self.optimizers]

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Say what differs from the run that the state is from, and take the state."""
        for line in changed_facts(resume_state, self.facts):
            get_root_logger().warning(line)
        self.history.tell_best(self)
        take_state(self, resume_state, super().resume_training, super().update_learning_rate)

    def update_learning_rate(self, current_iter: int, warmup_iter: int = -1) -> None:
        """Begin an iteration, unless the run has to stop."""
        self.watch.begin(current_iter)
        self.progress.begin(current_iter, self.losses())
        seed_iteration(self.opt["manual_seed"], current_iter, self.opt["rank"])
        super().update_learning_rate(current_iter, warmup_iter)

    def feed_data(self, data: dict[str, Any]) -> None:
        self.batch = data.get("lq_path") or ()
        super().feed_data(data)

    def optimize_parameters(self, current_iter: int) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a step; a loss that is no number ends the run."""
        with self.watch.step(), nonfinite_explained(self.saver):
            super().optimize_parameters(current_iter)  # pyright: ignore[reportCallIssue]
            if not getattr(self, "finds_nonfinite", False):
                check_losses(current_iter, self.losses(), self.batch)

    def losses(self) -> dict[str, float]:
        """Return what the last step logged as losses."""
        logged: Mapping[str, float] = getattr(self, "log_dict", {})
        return {name: value for name, value in logged.items() if name.startswith("l_")}

    def validation(
        self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool = False
    ) -> None:
        """Validate and note the metrics, once per iteration: BasicSR does it again at the end."""
        iteration = min(current_iter, self.total_iter)  # it counts one more there
        if self.validated.get(dataloader) == iteration:
            return
        with self.watch.validation():
            super().validation(dataloader, iteration, tb_logger, save_img)
            self.validated[dataloader] = iteration
            if self.opt["rank"] == 0:
                name = dataloader.dataset.opt["name"]
                self.history.add(name, iteration, getattr(self, "metric_results", {}))

    def save_iteration(self, current_iter: int) -> None:
        """Save networks and state after an iteration, whichever it is."""
        super().save(self.sampler.epoch, current_iter)

    def save(self, epoch: int, current_iter: int) -> None:
        """Save networks and state; at the end, −1, also those of the last iteration."""
        if current_iter == -1 and self.watch.current_iter > self.saver.last_iter:
            self.save_iteration(self.watch.current_iter)
        super().save(epoch, current_iter)

    def save_network(
        self,
        net: nn.Module | Sequence[nn.Module],
        net_label: str,
        current_iter: int,
        param_key: str | Sequence[str] = "params",
    ) -> None:
        nets = [net] if isinstance(net, nn.Module) else net
        keys = [param_key] if isinstance(param_key, str) else param_key
        bare = {key: self.get_bare_model(part) for key, part in zip(keys, nets, strict=True)}
        self.saver.save_networks(bare, net_label, current_iter)

    def save_training_state(self, epoch: int, current_iter: int) -> None:
        if current_iter != -1:  # the end needs no state of its own
            state = {"epoch": epoch, "iter": current_iter, **parts(self), **self.facts}
            self.saver.save_state(state)


def build(kind: type[Model], opt: Options, *args: Any) -> Model:
    """Build the model of `model_type` as a `kind` of it.

    Args:
        kind: What is added: the methods of this class come first.
        opt: The options; the model gets a copy, as from BasicSR.
        args: Of the class that is added.

    Raises:
        OptionError: If the plugin's own model or network refuses its options.
    """
    name = opt["model_type"]
    both = type(name, (kind, MODEL_REGISTRY.get(name)), {"__doc__": kind.__doc__})
    with mendable():
        model = both(deepcopy(opt), *args)
    get_root_logger().info(f"Model [{name}] is created.")
    return model
