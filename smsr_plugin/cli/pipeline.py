"""What `smsr train` and `smsr test` share: the arguments, and how a pipeline of BasicSR ends."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any

from smsr_plugin.cli.errors import FAILED, bad_usage


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
    """Run the pipeline.

    Returns:
        0; 1 after one line on stderr if something came up in the run, 2 if the user must mend
        options or data; 128 + the signal after Ctrl-C or SIGTERM.
    """
    from smsr_plugin.toolbox.entry import run_pipeline
    from smsr_plugin.toolbox.option_error import OptionError
    from smsr_plugin.toolbox.run_error import RunError

    try:
        run_pipeline(args)
    except OptionError as error:
        return bad_usage(args, error)
    except RunError as error:
        print(f"smsr {args.command}: error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as interruption:
        signum = signal.Signals(getattr(interruption, "signum", signal.SIGINT))
        by_whom = "" if signum == signal.SIGINT else f" by {signum.name}"
        print(f"smsr {args.command}: interrupted{by_whom}", file=sys.stderr)
        return 128 + signum
    return 0
