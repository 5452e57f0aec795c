"""`smsr`: the commands under one roof.

A command has a module of this package with

- `add_parser(subparsers)`, which adds its subparser and sets `run` as its default, and imports
  nothing heavy: `smsr --help` and shell completion build every subparser;
- `run(args) -> int`, which imports what the command needs, does it and returns the exit code.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import platform
import sys
from collections.abc import Sequence

from smsr_plugin import lazy
from smsr_plugin.cli.arguments import (
    FAILED,
    FULL,
    INTERRUPTED,
    Parser,
    bad_usage,
    did_you_mean,
    printable,
)
from smsr_plugin.version import __version__

#: The module of each command, in the order of the help.
COMMANDS = {
    "upscale": "upscale",
    "report": "report",
    "benchmark": "benchmark",
    "flops": "flops",
    "train": "pipeline",
    "test": "pipeline",
    "options": "options",
    "prepare": "prepare",
    "sparsify": "sparsify",
    "convert": "convert",
    "export": "export",
    "completion": "completion",
}
#: The extra that a command needs as a whole; those without one say what brings the missing module.
COMMAND_EXTRAS = {"report": "report", "benchmark": "bench", "export": "onnx", "flops": "train"}

#: What is said of names that can be no file's: too long, links in a circle.
NO_NAMES = (errno.ENAMETOOLONG, errno.ELOOP)
#: How Python says the latter where a path is resolved, before 3.13.
LOOP = "Symlink loop"
#: How often a thread looks for work before it sleeps: about a quarter of a millisecond.
SPIN_COUNT = "5000"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0, 2 on wrong usage, 130 after Ctrl-C, or its own.

    Without arguments and with `help` it prints the help.
    Besides the command's options, the namespace that `run` gets holds `command`, its name, and
    `argv`, all arguments as they were given.
    """
    parser = make_parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks how a word can end
        import argcomplete

        argcomplete.autocomplete(parser, always_complete_options=False)
    if argv is None:
        # Processes that this one starts would look for modules in the current folder first, where
        # somebody's images lie.
        os.environ["PYTHONSAFEPATH"] = "1"
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] == "help":
        arguments = [*arguments[1:2], "--help"]
    _check_command(parser, arguments[0])
    args = parser.parse_args(arguments)
    args.argv = arguments
    _open_streams()
    _share_cores()
    wrong = _wrong_environment()
    if wrong:
        return bad_usage(args, wrong)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold any bytes
    try:
        wrong = _import_modules(args)
        if wrong:
            return bad_usage(args, wrong)
        code = args.run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"smsr {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except ImportError as error:
        if (error.name or "").startswith("smsr_plugin"):
            raise
        return bad_usage(args, lazy.advice(error, COMMAND_EXTRAS.get(args.command)))
    except RuntimeError as error:
        if not str(error).startswith(LOOP):
            raise
        return bad_usage(args, error)
    except OSError as error:
        if error.errno in NO_NAMES:
            return bad_usage(args, error)
        is_left = isinstance(error, BrokenPipeError)  # the reader, such as `head`, has enough
        if not is_left and error.errno not in FULL:
            raise
        # What is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not is_left:
            bad_usage(args, f"cannot write its output: {error.strerror}")
        return FAILED


def _open_streams() -> None:
    """Give stdout and stderr a place where the caller has closed them: libraries need one."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123  to the end


def _check_command(parser: Parser, word: str) -> None:
    """Exit with one line if the first argument is no command."""
    if not word.startswith("-") and word not in COMMANDS:
        advice = did_you_mean(word, COMMANDS) or f": there are {', '.join(COMMANDS)}"
        parser.error(f"unknown command {printable(word)}{advice}")


def _share_cores() -> None:
    """Let PyTorch's threads wait without keeping the cores from other processes for long.

    Figures: docs/kernels.md. GNU's OpenMP reads it when it is loaded, which PyTorch's import does.
    """
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT


def _import_modules(args: argparse.Namespace) -> str | None:
    """Import the user's own modules; say why one cannot be."""
    if not getattr(args, "imports", None):
        return None
    from smsr_plugin.training.options.errors import OptionError
    from smsr_plugin.training.registration import import_user_modules

    try:
        import_user_modules(args.imports)
    except OptionError as error:
        return str(error)
    return None


def _wrong_environment() -> str | None:
    """Say what is wrong with SMSR_ISA, which a command would notice only at its first image."""
    if os.environ.get("SMSR_ISA"):
        try:
            from smsr_plugin import _kernels

            _kernels.isa()
        except ImportError:  # without kernels it means nothing
            return None
        except ValueError as error:
            return str(error)
    return None


class _Version(argparse.Action):
    """`--version`: also of what decides the speed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version_text())
        parser.exit()


def make_parser() -> Parser:
    """Return the parser with every command."""
    parser = Parser(
        prog="smsr",
        description="Super-resolution that learns where it need not compute.",
        epilog="smsr COMMAND --help shows the options of a command.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="show the version, the kernels, torch, threads"
    )
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for name in dict.fromkeys(COMMANDS.values()):
        importlib.import_module(f"smsr_plugin.cli.{name}").add_parser(subparsers)
    return parser


def version_text() -> str:
    """Return the version and what decides the speed, a line each; the version comes first."""
    lines = (
        f"smsr_plugin {__version__}",
        _kernels_text(),
        _torch_text(),
        f"Python {platform.python_version()}",
    )
    return "\n".join(lines)


def _kernels_text() -> str:
    try:
        from smsr_plugin import _kernels as kernels

        return f"kernels {kernels.isa()} (of {', '.join(kernels.available())})"
    except (ImportError, ValueError) as error:  # ValueError: an SMSR_ISA that there is not
        return f"kernels none, sparse inference runs in plain PyTorch ({error})"


def _torch_text() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:
        return f"torch none ({error})"
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    sys.exit(main())
