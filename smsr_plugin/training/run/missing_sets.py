"""Test sets that an option file names and that are not there."""

from __future__ import annotations

from pathlib import Path

from smsr_plugin.training.errors import OptionError
from smsr_plugin.training.options.file import Options


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
