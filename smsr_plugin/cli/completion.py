"""`smsr completion`: what makes a shell complete the commands and options of `smsr`."""

from __future__ import annotations

import argparse
from typing import Any

SHELLS = ("bash", "zsh", "fish")

DESCRIPTION = """\
Print what makes a shell complete `smsr` on the TAB key. For every new shell:

  bash: echo 'eval "$(smsr completion bash)"' >> ~/.bashrc
  zsh:  echo 'eval "$(smsr completion zsh)"' >> ~/.zshrc
  fish: smsr completion fish > ~/.config/fish/completions/smsr.fish"""


def add_parser(subparsers: Any) -> None:
    """Add `smsr completion`."""
    parser = subparsers.add_parser(
        "completion",
        help="let the shell complete commands and options",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["smsr"], shell=args.shell))
    return 0
