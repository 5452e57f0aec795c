"""Which option files of other projects, BasicSR's own say, are accepted, and why others are not.

    git clone https://github.com/XPixelGroup/BasicSR
    python scripts/foreign_options.py BasicSR/options

Each file below the folders is held to the JSON schema and to the types, which must agree; data sets
and weights need not be there. A file whose name begins with `test` is one of a test.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import jsonschema

import smsr_plugin.training  # noqa: F401  what is registered has names
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.file import read_option_file
from smsr_plugin.training.options.schema import schema_text
from smsr_plugin.training.options.typed import typed


def reason(file: Path, validator: jsonschema.Draft7Validator) -> str:
    """Return why a file is refused, empty if it is not."""
    try:
        options = read_option_file(file)
        typed(options, is_train=not file.stem.startswith("test"))
    except OptionError as error:
        return str(error)
    wrong = [error.message for error in validator.iter_errors(options)]
    return f"by the schema alone: {wrong[0]}" if wrong else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    validator = jsonschema.Draft7Validator(json.loads(schema_text()))
    files = [f for folder in parser.parse_args().folders for f in sorted(folder.rglob("*.yml"))]
    refused = {file: why for file in files if (why := reason(file, validator))}
    for file, why in refused.items():
        print(f"{file}: {why}")
    print(f"{len(files) - len(refused)} of {len(files)} are accepted")


if __name__ == "__main__":
    main()
