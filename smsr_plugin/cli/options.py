"""`smsr options`: option files to begin with, and what is known of their keys."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import smsr_plugin
from smsr_plugin.cli.arguments import bad_usage, did_you_mean, printable

FOLDER = Path(smsr_plugin.__file__).parent / "training" / "options"
SCHEMA = FOLDER / "schema.json"
#: First line of each file; it tells editors where the schema is.
SCHEMA_LINE = "# yaml-language-server: $schema={}\n"

EPILOG = """\
examples:
  %(prog)s                    names, and what each is for
  %(prog)s x4 > mine.yml      a file of your own, to be changed
  smsr train -opt mine.yml"""


def add_parser(subparsers: Any) -> None:
    """Add `smsr options`."""
    parser = subparsers.add_parser(
        "options",
        help="print an option file to begin with",
        description="Print one of the package's option files for `smsr train` and `smsr test`.\n"
        "An editor that knows YAML completes and checks its keys.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_mutually_exclusive_group().add_argument
    name = add("name", nargs="?", metavar="NAME", help="which; without it, they are listed")
    name.completer = complete
    add("--schema", action="store_true", help="print the JSON schema, with what is registered")
    add("--reference", action="store_true", help="print every key (docs/options.md)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a file, the schema, the reference, or the names."""
    if args.schema or args.reference:
        from smsr_plugin.training.registration import register_all

        register_all()
        if args.schema:
            from smsr_plugin.training.options.schema import schema_text as text
        else:
            from smsr_plugin.training.options.reference import reference as text
        print(text(), end="")
        return 0
    known = templates()
    if args.name is None:
        width = max(map(len, known))
        print("\n".join(f"{name:{width}}  {summary(file)}" for name, file in known.items()))
        return 0
    if args.name not in known:
        advice = did_you_mean(args.name, known) or f": there are {', '.join(known)}"
        return bad_usage(args, f"no option file is called {printable(args.name)}{advice}")
    print(template(known[args.name]), end="")
    return 0


def complete(**_: object) -> list[str]:
    """Return the names that a shell can complete to."""
    return list(templates())


def templates() -> dict[str, Path]:
    """Return the package's option files by name: those of trainings first."""
    files = sorted((FOLDER / "templates").glob("*.yml"))
    return {file.stem: file for file in sorted(files, key=lambda f: f.stem.startswith("test"))}


def template(file: Path) -> str:
    """Return an option file, its first line with the place of the installed schema."""
    first, rest = file.read_text(encoding="utf-8").split("\n", 1)
    assert first.startswith(SCHEMA_LINE.split("=")[0])
    return SCHEMA_LINE.format(SCHEMA.as_uri()) + rest


def summary(file: Path) -> str:
    """Return the first sentence of an option file's comment."""
    _, *lines = file.read_text(encoding="utf-8").splitlines()
    text = ""
    for line in lines:
        if not line.startswith("# ") or line.startswith("#  "):
            break
        text += line[1:]
    return text.strip().split(". ")[0].rstrip(".")
