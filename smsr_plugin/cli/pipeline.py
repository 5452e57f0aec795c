"""What `smsr train` and `smsr test` share: the arguments, and how a pipeline of BasicSR ends."""

from __future__ import annotations

import argparse
from typing import Any

from smsr_plugin.cli.errors import bad_usage


def add_pipeline_parser(
    subparsers: Any, name: str, help: str, description: str, example: str
) -> None:
    """Add a subparser with BasicSR's arguments, `--root` and `--quiet`."""
    parser = subparsers.add_parser(
        name,
        help=help,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-opt", metavar="FILE", required=True, help="option file (YAML)")
    add("--root", metavar="DIR", default=".",
        help="folder of experiments/, results/ and tb_logger/ (default: the current folder)",
    )  # fmt: skip
    add("--force_yml", metavar="KEY=VALUE", nargs="+", default=[],
        help="change options, such as train:total_iter=1000 path:resume_state=~",
    )  # fmt: skip
    add("--auto_resume", action="store_true",
        help="training: go on from the newest usable state")  # fmt: skip
    add("--debug", action="store_true",
        help="put debug_ before the name; log, save, validate often")  # fmt: skip
    add("--launcher", choices=["none", "pytorch", "slurm"], default="none", help="distributed run")
    add("--quiet", action="store_true",
        help="only progress and results here; all in the log file")  # fmt: skip
    add("--local_rank", metavar="N", type=int, default=0, help="set by launchers")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the pipeline; return 0, or 2 after one line on stderr if the user must mend something."""
    from smsr_plugin.toolbox.entry import run_pipeline
    from smsr_plugin.toolbox.option_error import OptionError

    try:
        run_pipeline(args)
    except OptionError as error:
        return bad_usage(args, error)
    return 0
