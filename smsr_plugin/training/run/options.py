"""The options of a run: read, checked, and completed as BasicSR's `parse_options` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import torch
from basicsr.utils import set_random_seed
from basicsr.utils.dist_util import get_dist_info

from smsr_plugin.processes import current
from smsr_plugin.training.options.checks import check_options
from smsr_plugin.training.options.errors import OptionError, wrong
from smsr_plugin.training.options.file import read_option_file
from smsr_plugin.training.options.machine import check_weights
from smsr_plugin.training.options.trial import try_out
from smsr_plugin.training.options.values import Options


class Command(NamedTuple):
    """`smsr train` or `smsr test` with its arguments."""

    pipeline: Literal["train", "test"]
    option_file: Path
    argv: Sequence[str]  #: The command line, for the copy of the option file.
    root: Path = Path()  #: Of experiments/, results/ and tb_logger/.
    force_yml: Sequence[str] = ()  #: Entries `section:key=value`.
    auto_resume: bool = False
    override_schedule: bool = False  #: Resume with the option file's learning rate.
    skip_missing: bool = False  #: Test without the sets that are not there.
    debug: bool = False
    quiet: bool = False  #: Only progress and results on the console.


#: What BasicSR's debug mode logs, saves and validates after, in iterations.
DEBUG_PRINT_FREQ, DEBUG_FREQ = 1, 8


def parse_options(command: Command, root: Path, is_train: bool) -> tuple[Options, Any]:
    """Return the options of a run, and what BasicSR reads of the command line.

    Takes the place of BasicSR's function, which runs code that is in option files and in
    `--force_yml`, and draws a seed that a resumed run would not have.

    Args:
        command: The command line.
        root: Where experiments/ and results/ are.
        is_train: Whether to train or to test.

    Raises:
        OptionError: If the options cannot be read or cannot work.
    """
    opt = read_option_file(command.option_file, command.force_yml)
    if not is_train:
        skip_missing_sets(opt, command.skip_missing)
    opt = check_options(opt, is_train)
    check_weights(opt)
    try_out(opt, is_train)
    _complete(opt, command, is_train)
    _complete_paths(opt, root, is_train)
    if is_train:
        _check_place(command.option_file, opt)
    return opt, SimpleNamespace(opt=str(command.option_file))


def _complete(opt: Options, command: Command, is_train: bool) -> None:
    """Add what follows from the command line and the machine."""
    opt["is_train"], opt["auto_resume"] = is_train, command.auto_resume
    opt["override_schedule"] = command.override_schedule
    opt["dist"] = current().launched
    if opt["dist"]:
        connect(opt)
    opt["rank"], opt["world_size"] = get_dist_info()
    if opt["num_gpu"] == "auto":
        opt["num_gpu"] = torch.cuda.device_count()
    if opt.get("manual_seed") is None:
        opt["manual_seed"] = 0
    set_random_seed(opt["manual_seed"] + opt["rank"])
    if opt.get("val") is None:
        opt.pop("val", None)
    elif not sys.stderr.isatty():
        opt["val"]["pbar"] = False  # a log is no place for a bar
    if command.debug and not opt["name"].startswith("debug"):
        opt["name"] = f"debug_{opt['name']}"
    if is_train and "debug" in opt["name"]:
        opt["logger"] |= {"print_freq": DEBUG_PRINT_FREQ, "save_checkpoint_freq": DEBUG_FREQ}
        if "val" in opt:
            opt["val"]["val_freq"] = DEBUG_FREQ


def _complete_paths(opt: Options, root: Path, is_train: bool) -> None:
    """Add phases and scale to the data sets, and to `path` the folders that the run writes."""
    for phase, section in opt["datasets"].items():
        section["phase"] = phase.split("_")[0]
        if "scale" in opt:
            section["scale"] = opt["scale"]
        _expand(section, "dataroot", "meta_info_file")
    path = opt["path"]
    _expand(path, "resume_state", "pretrain_network")
    folder = root / ("experiments" if is_train else "results") / opt["name"]
    made = {"experiments_root" if is_train else "results_root": "", "log": ""}
    if is_train:
        made |= {"models": "models", "training_states": "training_states"}
    made["visualization"] = "visualization"
    path |= {key: str(folder / below) for key, below in made.items()}


def _expand(section: Options, *prefixes: str) -> None:
    """Replace `~` in the paths of a section whose keys begin so."""
    for key, value in section.items():
        if key.startswith(prefixes) and isinstance(value, str):
            section[key] = str(Path(value).expanduser())


def _check_place(option_file: Path, opt: Options) -> None:
    """Refuse an option file that BasicSR would archive before it copies it, or copy onto itself."""
    folder = Path(opt["path"]["experiments_root"])
    if folder.resolve() in option_file.resolve().parents:
        raise OptionError(
            f"the option file {option_file} is inside {folder}, which the run writes; "
            "copy it elsewhere and use the copy"
        )


def skip_missing_sets(opt: Options, skip: bool) -> None:
    """Remove the test sets whose folders are not there from the options, and say which.

    Options of another shape are left to their checks.

    Args:
        opt: The options of a test.
        skip: Without it, missing sets are an error that names the others.

    Raises:
        OptionError: If sets are missing and others are there, but for `skip`.
    """
    datasets = opt.get("datasets")
    if not isinstance(datasets, dict):
        return
    missing = {phase: root for phase, section in datasets.items() if (root := _missing(section))}
    there = [_name(datasets, phase) for phase in datasets if phase not in missing]
    if not missing or not there:
        return
    absent = ", ".join(f"{_name(datasets, phase)} ({root})" for phase, root in missing.items())
    if not skip:
        raise OptionError(
            f"test sets are not there: {absent}; --skip-missing tests without: {', '.join(there)}"
        )
    print(f"Skipped, because they are not there: {absent}.", flush=True)
    for phase in missing:
        del datasets[phase]


def _missing(section: object) -> str | None:
    """Return the first folder of a data set that is not there."""
    if not isinstance(section, dict):
        return None
    roots = [section.get("dataroot_gt"), section.get("dataroot_lq")]
    return next(
        (root for root in roots if isinstance(root, str) and not Path(root).expanduser().exists()),
        None,
    )


def _name(datasets: Options, phase: str) -> str:
    section = datasets[phase]
    return str(section.get("name", phase)) if isinstance(section, dict) else phase


def connect(opt: Options) -> None:
    """Connect the processes of a run: gloo on the CPU, nccl and a device for each on CUDA.

    Takes the place of BasicSR's `init_dist`, which needs CUDA and counts its devices by rank.

    Raises:
        OptionError: If a machine has fewer devices than processes.
        LostProcessError: If a process does not come.
    """
    devices = torch.cuda.device_count()
    if opt["num_gpu"] == 0 or (opt["num_gpu"] == "auto" and devices == 0):
        current().connect("gloo")
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if local_rank >= devices:
        came, advice = f"{local_rank + 1} or more", "write num_gpu: 0 to run on the CPU"
        raise wrong("--nproc-per-node", f"at most {devices}, the CUDA devices here", came, advice)
    torch.cuda.set_device(local_rank)
    current().connect("nccl")
