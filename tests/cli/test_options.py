"""`smsr options`: option files to begin with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from smsr_plugin.cli.main import main
from smsr_plugin.cli.options import templates
from smsr_plugin.training.options.file import parse_yaml, read_option_file


def printed(capsys, *arguments: str) -> str:
    assert main(["options", *arguments]) == 0
    return capsys.readouterr().out


def test_without_a_name_they_are_listed(capsys):
    lines = printed(capsys).splitlines()
    assert [line.split()[0] for line in lines] == list(templates())
    assert {"x2", "x3", "x4", "test_x2", "x2_demo"} <= set(templates())
    assert all(len(line.split()) > 4 for line in lines)  # each says what it is for
    assert "the paper's settings" in lines[0]


@pytest.mark.parametrize("name", list(templates()))
def test_a_file_is_printed_with_the_place_of_the_schema(capsys, name):
    text = printed(capsys, name)
    first, rest = text.split("\n", 1)
    place = urlparse(first.removeprefix("# yaml-language-server: $schema="))
    assert place.scheme == "file"
    json.loads(Path(url2pathname(place.path)).read_text(encoding="utf-8"))
    shipped = templates()[name]
    assert shipped.read_text(encoding="utf-8").split("\n", 1)[1] == rest
    assert parse_yaml(text, name) == read_option_file(shipped)
    assert f"smsr options {name} > {name}.yml" in text or "quickstart" in text


def test_a_mistyped_name_is_one_line(capsys):
    assert main(["options", "x22"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "smsr options: error: no option file is called x22: did you mean x2?\n"
    assert main(["options", "?"]) == 2
    assert "there are x2, x2_cpu" in capsys.readouterr().err


def test_schema_and_reference_are_printed(capsys):
    assert json.loads(printed(capsys, "--schema"))["definitions"]["network"]
    assert printed(capsys, "--reference").startswith("# Options\n")


def test_the_list_imports_nothing_heavy():
    code = (
        "import sys; from smsr_plugin.cli.main import main; assert main(['options', 'x2']) == 0; "
        "assert not {'torch', 'basicsr', 'msgspec'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
