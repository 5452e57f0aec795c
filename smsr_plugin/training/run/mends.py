"""What stands in the place of BasicSR's functions while one of its pipelines runs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from logging import Logger
from pathlib import Path
from typing import Any
from unittest.mock import patch

import basicsr.data
import basicsr.test
import basicsr.train
from basicsr.data import prefetch_dataloader
from basicsr.models import build_model as basicsr_build_model
from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger as basicsr_get_root_logger

from smsr_plugin.training.data.data_order import seed_each_iteration
from smsr_plugin.training.data.dataloaders import (
    Loaders,
    build_dataset,
    create_train_val_dataloader,
)
from smsr_plugin.training.data.prefetch import RaisingPrefetchGenerator
from smsr_plugin.training.errors import mendable
from smsr_plugin.training.model.optimizers import get_optimizer, setup_schedulers
from smsr_plugin.training.options.file import Options
from smsr_plugin.training.run.distributed import (
    model_to_device,
    reduce_loss_dict,
    validate_in_one_process,
)
from smsr_plugin.training.run.finite import stop_when_not_finite
from smsr_plugin.training.run.interrupt import save_on_interrupt, worker_init_fn
from smsr_plugin.training.run.options import parse_options
from smsr_plugin.training.run.progress import progress_bar
from smsr_plugin.training.run.resume import explain_unfit_state, load_resume_state
from smsr_plugin.training.run.root_logger import fresh_root_logger, get_quiet_root_logger
from smsr_plugin.training.run.run_lock import only_training_in
from smsr_plugin.training.run.saving import Saver
from smsr_plugin.training.run.validation_history import FILE, ValidationHistory


@contextmanager
def mended_basicsr(args: Namespace) -> Iterator[None]:
    """Mend BasicSR's pipelines for one run, and restore everything afterwards.

    Args:
        args: The command line as `smsr_plugin.cli.pipeline` parses it.
    """
    parse = partial(parse_options, args)
    get_root_logger = get_quiet_root_logger if args.quiet else basicsr_get_root_logger
    with ExitStack() as stack:
        training = Training(stack)
        train_mends = patch.multiple(
            basicsr.train,
            parse_options=parse,
            load_resume_state=training.load_resume_state,
            create_train_val_dataloader=training.create_train_val_dataloader,
            build_model=training.build_model,
            get_root_logger=get_root_logger,
        )
        test_mends = patch.multiple(
            basicsr.test,
            parse_options=parse,
            build_dataset=build_dataset,
            build_model=build_model,
            get_root_logger=get_root_logger,
        )
        model_mends = patch.multiple(
            BaseModel,
            model_to_device=model_to_device,
            reduce_loss_dict=reduce_loss_dict,
            get_optimizer=get_optimizer,
            setup_schedulers=setup_schedulers,
        )
        for mend in (
            train_mends,
            test_mends,
            model_mends,
            patch.object(basicsr.data, "worker_init_fn", worker_init_fn),
            patch.object(prefetch_dataloader, "PrefetchGenerator", RaisingPrefetchGenerator),
            fresh_root_logger(),
        ):
            stack.enter_context(mend)
        yield


class Training:
    """The replacements in `basicsr.train`, in the order of their calls; each tells the next.

    Args:
        stack: Holds what lasts until the end of the run.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.state: dict[str, Any] | None = None
        self.start_iter = 0
        self.sampler: Any = None

    def load_resume_state(self, opt: Options) -> dict[str, Any] | None:
        if opt["rank"] == 0:  # before anything in the folder is swept away or archived
            self.stack.enter_context(only_training_in(Path(opt["path"]["experiments_root"])))
        self.state = load_resume_state(opt)
        if self.state is not None:
            self.start_iter = self.state["iter"]
        return self.state

    def create_train_val_dataloader(self, opt: Options, logger: Logger) -> Loaders:
        loaders = create_train_val_dataloader(opt, logger, self.start_iter)
        self.sampler = loaders[1]
        if self.state is not None:  # batch size or data set may have changed since it was saved
            self.state["epoch"] = self.sampler.epoch
        return loaders

    def build_model(self, opt: Options) -> Any:
        model = build_model(opt)
        explain_unfit_state(model)
        total_iter = int(opt["train"]["total_iter"])
        metrics = (opt.get("val") or {}).get("metrics") or {}
        file = Path(opt["path"]["experiments_root"]) / FILE
        history = ValidationHistory(file, metrics, self.start_iter)
        history.watch(model, total_iter)
        saver = Saver(model, self.start_iter, history)
        seed_each_iteration(model, opt["manual_seed"], opt["rank"])
        stop_when_not_finite(model, saver)
        if opt["rank"] == 0:
            self.stack.enter_context(progress_bar(model, total_iter, self.start_iter))
        self.stack.enter_context(save_on_interrupt(model, self.sampler, saver))
        return model


def build_model(opt: Options) -> Any:
    """Build a model from the options, as BasicSR does.

    Raises:
        OptionError: If the plugin's own model or network refuses its options.
    """
    with mendable():
        model = basicsr_build_model(opt)
    validate_in_one_process(model)
    return model
