"""`smsr train` and `smsr test`: BasicSR's pipelines, and how they end."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import BAD_USAGE, FAILED, add_imports, bad_usage, path
from smsr_plugin.names import printable

if TYPE_CHECKING:
    from smsr_plugin.processes import Processes


def add_parser(subparsers: Any) -> None:
    """Add `smsr train` and `smsr test`: BasicSR's arguments, `--root` and `--quiet`."""
    examples = {
        "train": "x2.yml --auto_resume",
        "test": "test_x2.yml",
    }
    for name, example in examples.items():
        _add_parser(subparsers, name, example)


def _add_parser(subparsers: Any, name: str, example: str) -> None:
    parser = subparsers.add_parser(
        name,
        help=f"{name} a network as an option file says",
        usage="%(prog)s -opt FILE [option ...]",
        description=f"{name.capitalize()} a super-resolution network with BasicSR.",
        epilog=f"example:\n  %(prog)s -opt {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-opt", type=path, metavar="FILE", required=True, help="option file (YAML)")
    add("--root", type=path, metavar="DIR", default=".",
        help="folder of experiments/, results/ and tb_logger/ (default: the current folder)",
    )  # fmt: skip
    add("--force_yml", metavar="KEY=VALUE", nargs="+", default=[],
        help="change options, such as train:total_iter=1000 path:resume_state=~",
    )  # fmt: skip
    add("--auto_resume", action="store_true",
        help="training: go on from the newest usable state")  # fmt: skip
    if name == "train":
        add("--override-schedule", action="store_true",
            help="resume with the learning rate of the option file, not the old one")  # fmt: skip
    else:
        add("--skip-missing", action="store_true",
            help="test without the sets that are not there")  # fmt: skip
    add("--debug", action="store_true",
        help="put debug_ before the name; log, save, validate often")  # fmt: skip
    add("--launcher", choices=["none", "pytorch", "slurm"],
        help="of several processes (default: torchrun, if it is there)")  # fmt: skip
    add("--quiet", action="store_true",
        help="only progress and results here; all in the log file")  # fmt: skip
    add_imports(parser)
    # Old launchers give it; their environment says it too.
    add("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=run, override_schedule=False, skip_missing=False)


def run(args: argparse.Namespace) -> int:
    """Run the pipeline; of several processes that end for one reason, one says it.

    Returns:
        0; 1 after one line on stderr if something came up in the run, 2 if the user must mend
        options or data; 128 + the signal after Ctrl-C or SIGTERM.
    """
    from smsr_plugin.processes import LostProcessError, joined

    with ExitStack() as stack:
        try:
            processes = stack.enter_context(joined(args.launcher))
        except (ValueError, LostProcessError) as error:
            return bad_usage(args, error)
        return _run(args, processes)


def _run(args: argparse.Namespace, processes: Processes) -> int:
    from smsr_plugin.processes import LostProcessError
    from smsr_plugin.training.options.errors import EndedElsewhereError, OptionError, RunError
    from smsr_plugin.training.run.options import Command
    from smsr_plugin.training.run.pipeline import run_pipeline

    def say(text: str, consequence: bool = False) -> None:
        if processes.is_first_to_say(text, consequence):
            print(f"smsr {args.command}: {printable(text)}", file=sys.stderr)

    try:
        run_pipeline(
            Command(
                pipeline=args.command,
                option_file=args.opt,
                argv=["smsr", *args.argv],
                root=args.root,
                force_yml=args.force_yml,
                auto_resume=args.auto_resume,
                override_schedule=args.override_schedule,
                skip_missing=args.skip_missing,
                debug=args.debug,
                quiet=args.quiet,
            )
        )
    except OptionError as error:
        say(f"error: {error}")
        return BAD_USAGE
    except EndedElsewhereError:
        return FAILED
    except RunError as error:
        say(f"error: {error}")
        return FAILED
    except LostProcessError as error:
        advice = "; start again with --auto_resume" if args.command == "train" else ""
        say(f"error: {error}{advice}", consequence=True)
        return FAILED
    except KeyboardInterrupt as interruption:
        signum = signal.Signals(getattr(interruption, "signum", signal.SIGINT))
        by_whom = "" if signum == signal.SIGINT else f" by {signum.name}"
        say(f"interrupted{by_whom}")
        return 128 + signum
    return 0
