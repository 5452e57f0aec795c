"""Resuming: the newest training state that can be read together with its networks."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from basicsr.utils import check_resume, get_root_logger

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_file
from smsr_plugin.names import printable
from smsr_plugin.processes import current
from smsr_plugin.staging import sweep_temporary
from smsr_plugin.training.options.errors import OptionError, one_line, wrong
from smsr_plugin.training.options.values import Options
from smsr_plugin.training.run.facts import FLAG, changed_settings, check_kinds, override_schedule
from smsr_plugin.training.run.saving import NETWORKS_KEY

STATE_KEYS = frozenset({"epoch", "iter", "optimizers", "schedulers"})


class UnreadableError(Exception):
    """A training state, or a network that belongs to it, cannot be used; the text says why."""


def load_resume_state(opt: Options) -> dict[str, Any] | None:
    """Return the training state to resume from, on the CPU, or None to start afresh.

    Takes the place of BasicSR's function, which needs CUDA and looks below the current folder.
    `--auto_resume` takes the newest usable state of the experiment; where there is none, and
    without it, `path.resume_state` counts. Sets the paths of the networks to load in `opt`. Of
    several processes the first one chooses.

    Raises:
        OptionError: If `path.resume_state` is not usable, or not all processes can read the state.
    """
    chosen = None
    if opt["rank"] == 0:
        _sweep(opt)
        chosen = _choose(opt)
    path = current().gather(chosen and chosen[0])[0]
    if path is None:
        return None
    state = chosen[1] if chosen else _read_chosen(path, opt)
    opt["path"]["resume_state"] = str(path)
    if opt["rank"] == 0:
        check_resume(opt, state["iter"])
        _say(f"Resuming from {path}, iteration {state['iter']}.")
    else:
        with redirect_stdout(io.StringIO()):  # the first has said it
            check_resume(opt, state["iter"])
    return state


def _choose(opt: Options) -> tuple[Path, dict[str, Any]] | None:
    found = _newest_usable(opt) if opt["auto_resume"] else None
    explicit = opt["path"].get("resume_state")
    if found is None and explicit:
        try:
            found = Path(explicit), read_state(Path(explicit), opt)
        except UnreadableError as error:
            advice = "name another state, or remove the key and use --auto_resume"
            raise wrong(
                "path.resume_state", f"a usable state ({error})", explicit, advice
            ) from error
    return found


def _read_chosen(path: Path, opt: Options) -> dict[str, Any]:
    try:
        return read_state(path, opt)
    except UnreadableError as error:
        raise OptionError(
            f"process {opt['rank']} cannot resume from {path} as the first one does: {error}; "
            "all machines need the same --root, on a disk that they share"
        ) from error


def _sweep(opt: Options) -> None:
    for folder in ("models", "training_states", "experiments_root"):
        for path in sweep_temporary(Path(opt["path"][folder])):
            print(f"Removed {printable(path)}, which an interrupted save had left.", flush=True)


def _newest_usable(opt: Options) -> tuple[Path, dict[str, Any]] | None:
    folder = Path(opt["path"]["training_states"])
    for path in states_newest_first(folder):
        try:
            return path, read_state(path, opt)
        except UnreadableError as error:
            _say(f"Cannot resume from {path}: {error}.")
    archived = " The folder that is there is archived." if folder.parent.exists() else ""
    _say(f"Nothing to resume in {folder}: starting afresh.{archived}")
    return None


def states_newest_first(folder: Path) -> list[Path]:
    """Return the files `<iteration>.state` of a folder, which need not exist."""
    states = [path for path in folder.glob("*.state") if path.stem.isdecimal()]
    return sorted(states, key=lambda path: int(path.stem), reverse=True)


def read_state(path: Path, opt: Options) -> dict[str, Any]:
    """Read a training state and make sure that the networks saved with it can be read too.

    Raises:
        UnreadableError: If one of them is missing, damaged or something else.
    """
    state = _load(path)
    if not _is_state(state):
        raise UnreadableError(f"it is no training state: {', '.join(sorted(STATE_KEYS))} expected")
    checksums = state.get(NETWORKS_KEY, {})  # BasicSR's own states have none
    for network in _network_files(opt, state["iter"]):
        _load(network)
        checksum = hashlib.sha256(network.read_bytes()).hexdigest()
        if checksum != checksums.get(network.name, checksum):
            raise UnreadableError(f"{network} is not the network that was saved with it")
    return state


def _is_state(state: object) -> bool:
    # The iteration becomes part of the networks' names, and must not lead elsewhere.
    return (
        isinstance(state, dict)
        and state.keys() >= STATE_KEYS
        and all(type(state[key]) is int and state[key] >= 0 for key in ("epoch", "iter"))
        and all(isinstance(state[key], list) for key in ("optimizers", "schedulers"))
        and isinstance(state.get(NETWORKS_KEY, {}), dict)
    )


def take_state(
    model: Any,
    state: dict[str, Any],
    load: Callable[[dict[str, Any]], None],
    update_learning_rate: Callable[[int, int], None],
) -> None:
    """Give a model the optimizers and schedulers of a state, and say what stays of the old options.

    Args:
        model: A BasicSR model that was just built; `override_schedule` of its options lets it keep
            the learning rate of the option file.
        state: The training state.
        load: BasicSR's `resume_training` of the model.
        update_learning_rate: BasicSR's method of the model.

    Raises:
        OptionError: If the state is not the model's.
    """
    override = model.opt["override_schedule"]
    whose = f"taken ({FLAG})" if override else f"not taken: the old value stays ({FLAG} changes it)"
    try:
        for difference in changed_settings(model, state):
            get_root_logger().warning(f"{difference}, which is {whose}.")
        if override:
            override_schedule(model, state, update_learning_rate)
        else:
            check_kinds(model, state)
            load(state)
    except OptionError:
        raise
    except Exception as error:  # optimizers meet anything in a state of any content
        raise wrong(
            "path.resume_state",
            f"a state of this model ({one_line(error) or type(error).__name__})",
            model.opt["path"]["resume_state"],
            "name another state, or start afresh without --auto_resume",
        ) from error


def _network_files(opt: Options, iteration: int) -> Iterator[Path]:
    """Yield the files that BasicSR's `check_resume` makes the model load."""
    ignored = opt["path"].get("ignore_resume_networks") or ()
    for key in opt:
        if key.startswith("network_") and key not in ignored:
            label = key.removeprefix("network_")
            yield Path(opt["path"]["models"]) / f"net_{label}_{iteration}.pth"


def _load(path: Path) -> Any:
    if not os.path.exists(path):  # noqa: PTH110  of a long name Path's own method raises an error
        raise UnreadableError(f"{path} does not exist")
    try:
        return read_file(path).root
    except CheckpointError as error:
        raise UnreadableError(f"{path} cannot be read: it {error}") from error


def _say(message: str) -> None:
    # BasicSR's log does not exist yet, and asking for it now would start it without its file.
    print(printable(message), flush=True)
