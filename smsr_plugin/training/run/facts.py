"""What a training state notes of its run, and what has changed when another run resumes from it.

Facts of the run as a whole, and the settings of its optimizers and learning rates: either the
state's count, or those of the option file.
"""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from smsr_plugin.training.data.loaders import DataFacts
from smsr_plugin.training.options.errors import MISSING, shown, wrong
from smsr_plugin.training.options.values import Options

#: Of the state: its `manual_seed`; how many images one iteration took, in all processes; in how
#: many; what the data set was; the section `train`, without what `changed_settings` compares.
SEED, BATCH, PROCESSES, DATA, TRAIN = "manual_seed", "batch_size", "processes", "data", "train"

#: Of the state as well: the classes of its optimizers and schedulers, by name.
KINDS = "kinds"
#: In a group of parameters: the parameters themselves, and where the schedule is just now.
_NO_SETTINGS = ("params", "lr")
FLAG = "--override-schedule"


def run_facts(opt: Options, data: DataFacts) -> dict[str, Any]:
    """Return what a state notes of its run; plain values, by the keys above."""
    loaders = opt["world_size"] if opt["dist"] else max(opt["num_gpu"], 1)
    section = opt["datasets"]["train"]
    train = {k: v for k, v in opt["train"].items() if not k.startswith(("optim_", "scheduler"))}
    return {
        SEED: opt["manual_seed"],
        BATCH: section["batch_size_per_gpu"] * loaders,
        PROCESSES: opt["world_size"],
        DATA: data._asdict(),
        TRAIN: dict(_flat("train", train)),
    }


def changed_facts(state: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each difference between the run of a state and this one.

    Args:
        state: A training state; BasicSR's own note nothing.
        now: What `run_facts` returns.
    """
    seed, images, processes = (state.get(key, now[key]) for key in (SEED, BATCH, PROCESSES))
    if seed != now[SEED]:
        yield f"manual_seed was {seed} and is {now[SEED]}: the order of the data changes."
    if images != now[BATCH]:
        yield (
            f"An iteration took {images} images and takes {now[BATCH]}, in all processes: the "
            "training changes."
        )
    if processes != now[PROCESSES]:
        yield (
            f"The training ran in {processes} processes and runs in {now[PROCESSES]}: sums are "
            "rounded in another order."
        )
    before, data = state.get(DATA, now[DATA]), now[DATA]
    if before != data:
        yield _data_line(before, data)
    train = state.get(TRAIN, now[TRAIN])
    for key in {**train, **now[TRAIN]}:
        old, new = train.get(key, MISSING), now[TRAIN].get(key, MISSING)
        if old != new:
            yield f"{key} was {_shown(old)} and is {_shown(new)}: the new value counts from here."


def _data_line(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = [key for key in ("images", "enlarge_ratio") if before.get(key) != now[key]]
    what = ", ".join(f"{key} {before.get(key)} then, {now[key]} now" for key in names)
    return (
        f"The data set was {before.get('name')} and is {now['name']} "
        f"({what or 'other names'}): the order of the images changes."
    )


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values of nested sections under their keys, joined by dots."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}", part)
    else:
        yield name, value


def _shown(value: object) -> str:
    return "not there" if value is MISSING else shown(value)


def parts(model: Any) -> dict[str, Any]:
    """Return what a state holds of a model's optimizers and schedulers."""
    both = {"optimizers": model.optimizers, "schedulers": model.schedulers}
    states = {name: [part.state_dict() for part in parts] for name, parts in both.items()}
    return {**states, KINDS: {name: [*map(_kind, parts)] for name, parts in both.items()}}


def changed_settings(model: Any, state: Mapping[str, Any]) -> Iterator[str]:
    """Yield `KEY was … and is …` for each setting of optimizer and schedule that has changed.

    Args:
        model: A BasicSR model that was just built from the option file.
        state: The training state that it will resume from.
    """
    names = [key for key in model.opt["train"] if key.startswith("optim_")]
    for name, saved, optimizer in zip(names, state["optimizers"], model.optimizers, strict=False):
        groups = zip(saved["param_groups"], optimizer.param_groups, strict=False)
        for number, (before, group) in enumerate(groups, 1):
            settings = {key: value for key, value in group.items() if key not in _NO_SETTINGS}
            of_group = "" if number == 1 else f" (group {number})"
            yield from _compared(f"train.{name}", before, settings, of_group)
    for saved, scheduler in zip(state["schedulers"], model.schedulers, strict=False):
        now = scheduler.state_dict()
        arguments = inspect.signature(type(scheduler)).parameters
        settings = {key: now[key] for key in arguments if key in now and key != "last_epoch"}
        yield from _compared("train.scheduler", saved, settings)


def check_kinds(model: Any, state: Mapping[str, Any]) -> None:
    """Raise OptionError if the state is of other optimizers or schedulers than the model's.

    BasicSR's own states do not say of which.
    """
    keys = {"optimizers": "train.optim_g.type", "schedulers": "train.scheduler.type"}
    for part, key in keys.items():
        now = [_kind(one) for one in getattr(model, part)]
        before = state.get(KINDS, {}).get(part, now)
        if before != now:
            expected = f"that of the state, {', '.join(before)}"
            advice = f"restore it, or give {FLAG}"
            raise wrong(key, expected, ", ".join(now), advice)


def override_schedule(
    model: Any, state: Mapping[str, Any], update_learning_rate: Callable[[int, int], None]
) -> None:
    """Take the moments of the state, and the learning rate as if the option file had always been.

    The moments of an optimizer of another kind are left out.

    Args:
        model: A BasicSR model that was just built.
        state: The training state.
        update_learning_rate: BasicSR's method, with the iteration and `warmup_iter`.
    """
    kinds = state.get(KINDS, {}).get("optimizers", map(_kind, model.optimizers))
    for optimizer, kind, saved in zip(model.optimizers, kinds, state["optimizers"], strict=True):
        now = optimizer.state_dict()
        sizes = [[len(group["params"]) for group in s["param_groups"]] for s in (saved, now)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"it has {sizes[0]} parameters, the model {sizes[1]}")
        if kind == _kind(optimizer):
            optimizer.load_state_dict({**now, "state": saved["state"]})
    warmup_iter = model.opt["train"].get("warmup_iter", -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the schedulers step, the optimizers do not
        for iteration in range(1, state["iter"] + 1):
            update_learning_rate(iteration, warmup_iter)


def _compared(
    name: str, before: Mapping[str, Any], now: Mapping[str, Any], of_group: str = ""
) -> Iterator[str]:
    for key, value in now.items():
        old, new = _plain(before.get(key, value)), _plain(value)
        if old != new:
            option = "lr" if key == "initial_lr" else key
            yield f"{name}.{option}{of_group} was {shown(old)} and is {shown(new)}"


def _plain(value: Any) -> Any:
    if isinstance(value, Counter):  # MultiStepLR's milestones
        return sorted(value.elements())
    return list(value) if isinstance(value, tuple) else value


def _kind(part: Any) -> str:
    return type(part).__name__
