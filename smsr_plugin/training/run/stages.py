"""What BasicSR's pipelines call in place of their own functions, in the order of the calls."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from logging import Logger
from pathlib import Path
from typing import Any

from smsr_plugin.training.data.dataloaders import (
    Loaders,
    build_validation_set,
    create_train_val_dataloader,
    data_facts,
)
from smsr_plugin.training.data.loader import RunLoader, build_dataloader
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.values import Options
from smsr_plugin.training.run.distributed import DistributedModel
from smsr_plugin.training.run.log import Writer, open_writer, start_log
from smsr_plugin.training.run.options import Command, parse_options
from smsr_plugin.training.run.resume import load_resume_state
from smsr_plugin.training.run.run_model import RunModel, Start, build

try:
    import fcntl
except ImportError:  # Windows, where two trainings are not kept apart
    fcntl = None


@contextmanager
def only_training_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of the folder of an experiment while the block runs.

    The lock is on a file beside the folder, `.NAME.lock`, because a fresh start renames the
    folder. The kernel releases it when the process ends, however it ends; the file stays. It is a
    POSIX record lock: workers do not inherit it, so that one that outlives a killed training for
    some seconds does not hold it. On NFS it works between machines if the server supports locks;
    where a file system has none, the training runs without.

    Raises:
        OptionError: If another process has the lock, named by its number and machine, or the
            file cannot be made.
    """
    if fcntl is None:
        yield
        return
    path = folder.with_name(f".{folder.name}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Not through a link: what is written would go elsewhere.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # either, by POSIX
            holder = os.read(descriptor, 256).decode("utf-8", "replace").strip()
            raise OptionError(
                f"{folder} is in use by another training ({holder or 'unknown process'}); wait "
                "for it, stop it, or give this one another name"
            ) from error
        except OSError:
            yield
            return
        with suppress(OSError):  # on a full disk the others are refused without a name
            os.truncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(descriptor)


class Stages:
    """The stages of one run; each tells the next.

    Args:
        command: What was asked for.
        stack: Holds what lasts until the end of the run.
    """

    def __init__(self, command: Command, stack: ExitStack) -> None:
        self.command, self.stack = command, stack
        self.opt: Options = {}
        self.state: dict[str, Any] | None = None
        self.start: Start | None = None

    def parse_options(self, root_path: str, is_train: bool = True) -> tuple[Options, Any]:
        self.opt, arguments = parse_options(self.command, Path(root_path), is_train)
        return self.opt, arguments

    def load_resume_state(self, opt: Options) -> dict[str, Any] | None:
        if opt["rank"] == 0:  # before anything in the folder is swept away or archived
            self.stack.enter_context(only_training_in(Path(opt["path"]["experiments_root"])))
        self.state = load_resume_state(opt)
        return self.state

    def get_root_logger(self, log_file: str, **settings: Any) -> Logger:
        return start_log(log_file, self.command.quiet, **settings)

    def open_writer(self, log_dir: str) -> Writer | None:
        return open_writer(log_dir, self.opt)

    def create_loaders(self, opt: Options, logger: Logger) -> Loaders:
        iteration = 0 if self.state is None else self.state["iter"]
        loaders = create_train_val_dataloader(opt, logger, iteration)
        for loader in (loaders.train, *loaders.val):
            self.stack.callback(loader.close)
        ordered: Any = loaders.train.dataset
        facts = data_facts(ordered.dataset, opt["datasets"]["train"])
        self.start = Start(iteration, loaders.sampler, facts)
        if self.state is not None:  # batch size or data set may have changed since it was saved
            self.state["epoch"] = loaders.sampler.epoch
        return loaders

    def build_model(self, opt: Options) -> RunModel:
        assert self.start is not None, "the loaders come before the model"
        model = build(RunModel, opt, self.start)
        self.stack.enter_context(model.progress)
        self.stack.enter_context(model.watch)
        return model

    def build_dataset(self, section: Options) -> Any:
        return build_validation_set(section, self.opt)

    def build_dataloader(self, *args: Any, **settings: Any) -> RunLoader:
        loader = build_dataloader(*args, **settings)
        self.stack.callback(loader.close)
        return loader

    def build_tested_model(self, opt: Options) -> DistributedModel:
        return build(DistributedModel, opt)
