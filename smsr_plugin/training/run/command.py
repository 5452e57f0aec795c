"""What was asked for on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple


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
