"""What a training state notes of its run, and what has changed when another run resumes from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from smsr_plugin.training.data.dataloaders import DataFacts
from smsr_plugin.training.errors import MISSING, shown
from smsr_plugin.training.options.file import Options

#: Of the state: its `manual_seed`; how many images one iteration took, in all processes; in how
#: many; what the data set was; the section `train`, without what `schedule` compares.
SEED, BATCH, PROCESSES, DATA, TRAIN = "manual_seed", "batch_size", "processes", "data", "train"


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


def differences(state: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
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
