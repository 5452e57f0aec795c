"""`smsr`: the commands under one roof.

A command has a module of this package with

- `add_parser(subparsers)`, which adds its subparser and sets `run` as its default, and imports
  nothing heavy: `smsr --help` and shell completion build every subparser;
- `run(args) -> int`, which imports what the command needs, does it and returns the exit code.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from smsr_plugin.cli.arguments import INTERRUPTED
from smsr_plugin.version import __version__

#: The module of each command, in the order of the help.
COMMANDS = {
    "upscale": "upscale",
    "report": "report",
    "benchmark": "benchmark",
    "flops": "flops",
    "train": "pipeline",
    "test": "pipeline",
    "prepare": "prepare",
    "convert": "convert",
    "export": "export",
    "completion": "completion",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0, 2 on wrong usage, 130 after Ctrl-C, or its own.

    Besides the command's options, the namespace that `run` gets holds `command`, its name, and
    `argv`, all arguments as they were given.
    """
    parser = make_parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks how a word can end
        import argcomplete

        argcomplete.autocomplete(parser, always_complete_options=False)
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(arguments)
    args.argv = arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold any bytes
    try:
        code = args.run(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"smsr {args.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has enough. What is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with every command."""
    parser = argparse.ArgumentParser(
        prog="smsr",
        description="Super-resolution that learns where it need not compute.",
        epilog="smsr COMMAND --help shows the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"smsr_plugin {__version__}")
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for name in dict.fromkeys(COMMANDS.values()):
        importlib.import_module(f"smsr_plugin.cli.{name}").add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
