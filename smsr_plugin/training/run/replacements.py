"""Everything that is replaced around BasicSR's pipelines while one of them runs: one table."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import basicsr.test
import basicsr.train
import basicsr.utils.logger

from smsr_plugin.training.run.log import TrainingLog, init_wandb_logger, thread_failed
from smsr_plugin.training.run.stages import Stages


class Replacement(NamedTuple):
    """One name, and what stands in its place."""

    owner: Any  #: The module that looks the name up.
    name: str
    value: Any
    reason: str  #: What is wrong with the original.


def replacements(stages: Stages) -> tuple[Replacement, ...]:
    """Return the table for a run: the training's rows in the order in which it calls them.

    What a model does differently is not here: it is a class, `RunModel`.
    """
    train, test = basicsr.train, basicsr.test
    rows = (
        (sys, "argv", stages.command.argv, "the copy of the option file notes the command line"),
        (basicsr.utils.logger, "initialized_logger", {}, "a second run would log to the first's"),
        (threading, "excepthook", thread_failed, "TensorBoard's thread prints tracebacks"),
        (train, "parse_options", stages.parse_options, "option files run code, nothing is checked"),
        (train, "load_resume_state", stages.load_resume_state, "needs CUDA, takes damaged states"),
        (train, "get_root_logger", stages.get_root_logger, "a full disk prints a page a line"),
        (train, "init_wandb_logger", init_wandb_logger, "calls what wandb no longer has"),
        (train, "init_tb_logger", stages.open_writer, "a full disk ends the training"),
        (train, "create_train_val_dataloader", stages.create_loaders, "stops an epoch early"),
        (train, "build_model", stages.build_model, "saving, resuming, stopping: see RunModel"),
        (train, "MessageLogger", TrainingLog, "at the end, `eta: -1 day`; no learning rate"),
        (test, "parse_options", stages.parse_options, "as above"),
        (test, "get_root_logger", stages.get_root_logger, "as above"),
        (test, "build_dataset", stages.build_dataset, "an empty folder has metrics of 0 / 0"),
        (test, "build_dataloader", stages.build_dataloader, "waits for a thread that has died"),
        (test, "build_model", stages.build_tested_model, "in several processes all validate"),
    )
    return tuple(Replacement(*row) for row in rows)


@contextmanager
def replaced(rows: Sequence[Replacement]) -> Iterator[None]:
    """Put the values of a table in place, and back what was there before."""
    before = [getattr(row.owner, row.name) for row in rows]
    try:
        for row in rows:
            setattr(row.owner, row.name, row.value)
        yield
    finally:
        for row, value in reversed(list(zip(rows, before, strict=True))):
            setattr(row.owner, row.name, value)
