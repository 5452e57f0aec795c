"""BasicSR's `parse_options`, given options that were read and checked before."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from basicsr.utils import options as basicsr_options

from smsr_plugin.processes import current
from smsr_plugin.training.errors import OptionError
from smsr_plugin.training.options.checks import check_options, check_weights
from smsr_plugin.training.options.file import Options, read_option_file
from smsr_plugin.training.options.trial import try_out
from smsr_plugin.training.run.distributed import connect


def parse_options(
    args: Namespace, root_path: str, is_train: bool = True
) -> tuple[Options, Namespace]:
    """Return the options of a run and the arguments, as BasicSR's function does.

    BasicSR's own reading of the option file and of `--force_yml` can run code, so it is handed
    the finished options in their place; the rest of its work (distributed set-up, seed, debug
    mode, paths) stays.

    Args:
        args: The command line as `smsr_plugin.cli.pipeline` parses it.
        root_path: Where experiments/ and results/ are.
        is_train: Whether to train or to test.

    Raises:
        OptionError: If the options cannot be read or cannot work.
    """
    opt = check_options(read_option_file(Path(args.opt), args.force_yml or ()), is_train)
    check_weights(opt)
    try_out(opt, is_train)
    if opt.get("manual_seed") is None:  # BasicSR would draw one, and a resumed run another
        opt["manual_seed"] = 0
    if opt.get("val") is None:  # BasicSR's debug mode writes into `val: ~`
        opt.pop("val", None)
    launcher = "pytorch" if current().launched else "none"  # whoever it was
    arguments = ["-opt", args.opt, "--launcher", launcher]
    arguments += ["--debug"] * args.debug + ["--auto_resume"] * args.auto_resume
    finished = SimpleNamespace(load=lambda stream, Loader: opt)
    with (
        patch.object(sys, "argv", [sys.argv[0], *map(str, arguments)]),
        patch.multiple(
            basicsr_options,
            yaml=finished,
            ordered_yaml=lambda: (None, None),
            init_dist=lambda launcher: connect(opt),
        ),
    ):
        opt, basicsr_args = basicsr_options.parse_options(root_path, is_train)
    if is_train:
        _check_place(Path(args.opt), opt)
    return opt, basicsr_args


def _check_place(option_file: Path, opt: Options) -> None:
    """Refuse an option file that BasicSR would archive before it copies it, or copy onto itself."""
    folder = Path(opt["path"]["experiments_root"])
    if folder.resolve() in option_file.resolve().parents:
        raise OptionError(
            f"the option file {option_file} is inside {folder}, which the run writes; "
            "copy it elsewhere and use the copy"
        )
