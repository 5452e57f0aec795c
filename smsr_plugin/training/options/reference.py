"""docs/options.md: every key of an option file, made from the types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from msgspec import NODEFAULT
from msgspec.structs import FieldInfo

from smsr_plugin.training.options.arguments import ARGUMENTS, arguments
from smsr_plugin.training.options.datasets import Backend, EvaluationDataset, TrainingDataset
from smsr_plugin.training.options.names import datasets, models, names, required
from smsr_plugin.training.options.schema import SCHEDULERS
from smsr_plugin.training.options.sections import (
    Distribution,
    Logger,
    Paths,
    TestOptions,
    TestValidation,
    TrainingOptions,
    TrainingValidation,
    Wandb,
)
from smsr_plugin.training.options.train import MaskOptions, Train
from smsr_plugin.training.options.values import Section, description, expected, fields, metadata

HEAD = """\
# Options

Every key of an option file: for `smsr train`, for `smsr test`, and for BasicSR 1.4.2, which reads
the same files. `smsr options` lists the files that come with the package; `smsr options x4 >
mine.yml` gives one to begin with. This page is made by `smsr options --reference`.

Whole numbers may be written `!!float 5e3`; `1e-4` is a number; `~` is nothing, and at the start of
a path the home folder. Where a default is given the key may be absent. What is not known, has
another type or lies outside its range is refused before anything starts, in one line that begins
with the path of the key. Then networks, losses, optimizer, scheduler, converter and metrics are
built and called once on a small pair. `--force_yml section:key=value` changes any of the keys,
also one that the file does not have.

The first line of an option file, `# yaml-language-server: $schema=…`, lets editors complete and
check keys. Of models and data sets that are not named here, only the keys that BasicSR itself reads
are checked; a plugin tells its own by `register_model` and `register_dataset`
(`smsr_plugin.training.options.names`).
"""

NETWORKS = ("SMSR", "RLFN", "IMDN", "PAN", "CARN", "SPAN")
LOSSES = ("L1Loss", "MSELoss", "CharbonnierLoss", "PerceptualLoss", "SparsityLoss", "DetailLoss")
METRICS = ("calculate_psnr", "calculate_ssim", "calculate_niqe")


class Table(NamedTuple):
    """A section of the page."""

    title: str
    text: str
    rows: list[str]


def reference() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(_shown(table) for table in _tables())])


def _tables() -> Iterable[Table]:
    training = {item.name: item for item in fields(TrainingOptions)}
    testing = [item for item in fields(TestOptions) if item.name not in training]
    yield Table("The file", "", _rows([*training.values(), *testing]))
    text = "The arguments of the network that `type` names. Of this package's own:"
    yield Table("network_g", f"{text}", [])
    yield from (_named("network", name) for name in NETWORKS)
    others = ", ".join(f"`{name}`" for name in names("network") if name not in NETWORKS)
    yield Table("Other networks", f"With the arguments of their classes: {others}.", [])
    yield Table("datasets.train", "", _rows(fields(TrainingDataset)))
    text = "`val`, `val_2`, … of a training; `test`, `test_2`, `val`, … of a test."
    yield Table("datasets.val, datasets.test", text, _rows(fields(EvaluationDataset)))
    yield Table("io_backend", "", _rows(fields(Backend)))
    told = [keys for pair in datasets().values() for keys in pair]
    for section in dict.fromkeys(told):
        kinds = [name for name, keys in datasets().items() if section in keys]
        training = all(section is not datasets()[name].validation for name in kinds)
        where = " in a training" if training else ""
        yield Table(f"type: {', '.join(kinds)}{where}", "", _rows(fields(section)))
    yield Table("path", "", _rows(fields(Paths), Paths))
    yield Table("train", "", _rows(fields(Train)))
    yield from _of_models("train", {name: keys.train for name, keys in models().items()}, Train)
    yield Table("train.masks", "", _rows(fields(MaskOptions)))
    yield from _losses_and_steps()
    yield Table("val", "", _rows(fields(TrainingValidation)))
    yield Table("val of a test", "", _rows(_own(TestValidation, TrainingValidation)))
    yield Table("val.metrics", "Below a name of your choice:", [])
    yield from (_named("metric", name) for name in METRICS)
    yield _named("converter", "to_sparse", "val.converter, ")
    yield Table("logger", "", _rows(fields(Logger)))
    yield from _of_models("logger", {name: keys.logger for name, keys in models().items()}, Logger)
    yield Table("logger.wandb", "", _rows(fields(Wandb)))
    yield Table("dist_params", "", _rows(fields(Distribution)))


def _losses_and_steps() -> Iterable[Table]:
    yield Table("Losses", "`pixel_opt`, `perceptual_opt`, … of `train`:", [])
    yield from (_named("loss", name) for name in LOSSES)
    text = (
        "Any optimizer of `torch.optim` by its name, such as `Adam`, with its arguments. "
        "Those that all have:"
    )
    common = ARGUMENTS["optimizer"]
    rows = [
        _row(name, kind, "needed" if name == "lr" else "its own") for name, kind in common.items()
    ]
    yield Table("train.optim_g", text, rows)
    text = (
        "Any scheduler of `torch.optim.lr_scheduler` that takes plain values and no metric, with "
        "its arguments; it is stepped each iteration. `MultiStepLR` is BasicSR's "
        "`MultiStepRestartLR`. BasicSR's own:"
    )
    yield Table("train.scheduler", text, [])
    yield from (_named("scheduler", name) for name in SCHEDULERS[1:])


def _of_models(
    key: str, sections: Mapping[str, type[Section]], base: type[Section]
) -> Iterable[Table]:
    """Yield what each model reads of a section beyond what all do."""
    for section in dict.fromkeys(sections.values()):
        rows = _rows(_own(section, base))
        if rows:
            of = ", ".join(name for name, other in sections.items() if other is section)
            yield Table(f"{key}, model_type: {of}", "", rows)


def _named(kind: str, name: str, before: str = "") -> Table:
    section, _ = arguments(kind, required(kind, name))
    return Table(f"{before}type: {name}", "", _rows(fields(section)))


def _own(section: type[Section], base: type[Section] | None = None) -> list[FieldInfo]:
    """Return the keys of a section that `base` does not have, or has otherwise."""
    known = {item.name: item for item in fields(base)} if base is not None else {}
    return [item for item in fields(section) if known.get(item.name) != item]


def _rows(items: Iterable[FieldInfo], section: type[Section] | None = None) -> list[str]:
    rows = [_row(item.name, item.type, _default(item)) for item in items]
    for pattern, kind in section.patterns.items() if section is not None else ():
        rows.append(_row(pattern.replace(r"\w+", "…"), kind, "none"))
    return rows


def _row(name: str, kind: Any, default: str) -> str:
    holds = expected(kind)
    if "kind" in metadata(kind):
        what = metadata(kind)["kind"]
        holds = f"a section with the `type` of a{'n' * what.startswith('o')} {what}"
    cells = (f"`{name}`", holds, default, description(kind))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(item: FieldInfo) -> str:
    if item.required:
        return "needed"
    if item.default is NODEFAULT:
        return "its own"
    value: Any = item.default
    if value is None or isinstance(value, bool):
        return "`~`" if value is None else f"`{str(value).lower()}`"
    return f"`{list(cast(tuple[Any, ...], value))}`" if isinstance(value, tuple) else f"`{value}`"


def _shown(table: Table) -> str:
    level = "###" if table.title.startswith(("type: ", "io_backend")) else "##"
    lines = [f"{level} {table.title}", "", *([table.text, ""] if table.text else [])]
    if table.rows:
        lines += ["| key | holds | default | meaning |", "|---|---|---|---|", *table.rows, ""]
    return "\n".join(lines)
