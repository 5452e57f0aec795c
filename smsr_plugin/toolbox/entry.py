"""What `smsr-train` and `smsr-test` share: the command line, the run, and how it ends."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

from smsr_plugin.toolbox.mendable import is_own_error, one_line
from smsr_plugin.toolbox.mends import mended_basicsr
from smsr_plugin.toolbox.option_error import OptionError
from smsr_plugin.toolbox.registration import register_all
from smsr_plugin.toolbox.run_error import RunError

RUN_ERROR = 1
USER_ERROR = 2
SIGNALLED = 128  # plus the signal, as shells count


def run(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, pipeline: Callable[[str], None]
) -> int:
    """Run one of BasicSR's pipelines, mended, on a command line.

    Args:
        parser: Made by `make_parser`.
        argv: The arguments; None for those of the process.
        pipeline: BasicSR's `train_pipeline` or `test_pipeline`.

    Returns:
        The exit code: 0, 2 after an error that the user can mend in options or data, 1 after one
        that came up in the run (a full disk, a loss that is NaN), 130 after Ctrl-C, 143 after
        SIGTERM. Anything else that goes wrong is a bug and keeps its traceback.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parser.parse_args(argv)
    try:
        root = _make_root(args.root)
        register_all()
        # BasicSR notes the command line in its copy of the option file.
        with patch.object(sys, "argv", [parser.prog, *argv]), mended_basicsr(args):
            pipeline(str(root))
    except KeyboardInterrupt as interruption:
        signum = signal.Signals(getattr(interruption, "signum", signal.SIGINT))
        traceback.clear_frames(interruption.__traceback__)  # as below
        by_whom = "" if signum == signal.SIGINT else f" by {signum.name}"
        print(f"{parser.prog}: interrupted{by_whom}", file=sys.stderr)
        return SIGNALLED + signum
    except (ValueError, RunError) as error:
        if not isinstance(error, RunError) and not is_own_error(error):
            raise
        # The error may be in a cycle with its frames; they hold the run's model and workers.
        traceback.clear_frames(error.__traceback__)
        print(f"{parser.prog}: error: {one_line(error)}", file=sys.stderr)
        return RUN_ERROR if isinstance(error, RunError) else USER_ERROR
    return 0


def make_parser(prog: str, description: str, example: str) -> argparse.ArgumentParser:
    """Return a parser of BasicSR's arguments and `--root`."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-opt", metavar="FILE", required=True, help="option file (YAML)")
    parser.add_argument(
        "--root",
        metavar="DIR",
        default=".",
        help="folder of experiments/, results/ and tb_logger/ (default: the current folder)",
    )
    parser.add_argument(
        "--force_yml",
        metavar="KEY=VALUE",
        nargs="+",
        default=[],
        help="change options, such as train:total_iter=1000 path:resume_state=~",
    )
    parser.add_argument(
        "--auto_resume", action="store_true", help="training: go on from the newest usable state"
    )
    parser.add_argument(
        "--debug", action="store_true", help="put debug_ before the name; log, save, validate often"
    )
    parser.add_argument(
        "--launcher", choices=["none", "pytorch", "slurm"], default="none", help="distributed run"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="only progress and results here; all in the log file"
    )
    parser.add_argument("--local_rank", metavar="N", type=int, default=0, help="set by launchers")
    return parser


def _make_root(folder: str) -> Path:
    root = Path(folder).expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(
            f"--root {folder}: cannot be used as a folder: {error.strerror}"
        ) from error
    return root
