"""What a terminal shows in colours, and that it is plain everywhere else."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest

from smsr_plugin.cli.main import make_parser
from smsr_plugin.cli.terminal import print_error, print_tables

pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")

#: As a terminal is told it: colours, bold and so on.
STYLE = re.compile(r"\x1b\[[0-9;]*m")
TABLES = r"""before

| network | PSNR | seconds |
|---|---:|---:|
| S\|R [red] :smile: | **38.00** | 0.9 |
| RLFN | <u>37.9</u> | 10.2 |

after"""


def smsr(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "smsr_plugin", *arguments]


def on_terminal(command: list[str], columns: int = 80, **variables: str) -> str:
    """Return what a command prints on a terminal, a line feed after each line."""
    here, there = pty.openpty()
    plain = {"NO_COLOR", "FORCE_COLOR", "TERM"}
    environment = {name: value for name, value in os.environ.items() if name not in plain}
    environment |= {"TERM": "xterm-256color", "COLUMNS": str(columns), **variables}
    process = subprocess.Popen(command, stdin=there, stdout=there, stderr=there, env=environment)
    os.close(there)
    shown = b""
    try:
        while data := os.read(here, 65536):
            shown += data
    except OSError:  # how Linux says that the other side is closed
        pass
    finally:
        os.close(here)
    process.wait()
    return shown.decode().replace("\r\n", "\n")


def on_pipe(command: list[str]) -> tuple[str, str]:
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.stdout, done.stderr


@pytest.mark.parametrize("command", [[], ["flops"], ["benchmark"], ["upscale"]])
def test_help_has_colours_and_the_same_words(command):
    shown = on_terminal(smsr(*command, "--help"))
    plain, errors = on_pipe(smsr(*command, "--help"))
    assert not STYLE.search(plain)
    assert not errors
    # Before 3.13 argparse says the value of an option twice, which rich-argparse does not.
    assert (
        STYLE.sub("", shown).split()
        == re.sub(r"(-\w) ([A-Z]+), (--\w+ \2)", r"\1, \3", plain).split()
    )
    assert "\x1b[36m--" in shown  # options in cyan
    assert re.search(r"\x1b\[1m[a-z ]*options:", shown)


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_help_is_plain_where_that_is_asked_for(variables):
    assert on_terminal(smsr("flops", "--help"), **variables) == on_pipe(smsr("flops", "--help"))[0]


@pytest.mark.parametrize("columns", [0, 1])
def test_a_terminal_of_no_width_gets_everything(columns):
    shown = STYLE.sub("", on_terminal(smsr("flops", "--help"), columns))
    assert "--lq-size" in shown
    assert "smsr upscale: error: none.png does not exist\n" in STYLE.sub(
        "", on_terminal(smsr("upscale", "none.png", "-o", "out"), columns)
    )


def test_a_stream_may_be_closed_or_a_mere_writer(monkeypatch):
    class Writer:
        text = ""

        def write(self, text):
            self.text += text

    writer = Writer()
    make_parser().print_help(writer)
    assert writer.text.startswith("usage: smsr")
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        print_error("smsr", "nobody hears it")


def test_an_error_is_one_line_whatever_it_quotes():
    name = "none [red]x[/red] [/] :smile: " + "a" * 60 + ".png"
    text = f"smsr upscale: error: no file matches {name}\n"
    command = smsr("upscale", name, "-o", "out")
    assert on_terminal(command, columns=40) == text.replace("error", "\x1b[1;31merror\x1b[0m", 1)
    assert on_terminal(command, columns=40, NO_COLOR="1") == text
    assert on_pipe(command) == ("", text)
    wrong = on_terminal(smsr("upscale", "--frobnicate"), columns=40)
    assert STYLE.sub("", wrong) == (
        "smsr upscale: error: unknown option --frobnicate (smsr upscale --help)\n"
    )
    assert wrong.count("\x1b[1;31m") == 1


def tables_on_terminal(columns: int) -> str:
    code = (
        "import sys; from smsr_plugin.cli.terminal import print_tables; print_tables(sys.argv[1])"
    )
    return on_terminal([sys.executable, "-c", code, TABLES], columns)


def test_a_table_is_drawn_with_the_best_in_bold():
    shown = tables_on_terminal(60)
    assert "\x1b[1m38.00\x1b[0m" in shown
    assert re.search("\x1b\\[4m *37.9\x1b\\[0m", shown)
    lines = [line.rstrip() for line in STYLE.sub("", shown).splitlines()]
    assert lines[0] == "before"
    assert lines[-1] == "after"
    rows = [line.split() for line in lines if line and line[0] == " " and "─" not in line]
    assert rows == [
        ["network", "PSNR", "seconds"],
        ["S|R", "[red]", ":smile:", "38.00", "0.9"],
        ["RLFN", "37.9", "10.2"],
    ]
    assert len({len(line) for line in lines if line.endswith(("0.9", "10.2"))}) == 1


def test_a_table_that_does_not_fit_is_left_as_it_is(capsys):
    assert tables_on_terminal(30) == TABLES + "\n"
    print_tables(TABLES)  # no terminal
    assert capsys.readouterr().out == TABLES + "\n"


CODE = """
import sys
from smsr_plugin.cli.main import main
if sys.argv[1] == "blocked":
    sys.modules["rich.console"] = None
try:
    main(sys.argv[2:])
except SystemExit:
    pass
print([name for name in sys.modules if name.partition(".")[0].startswith("rich")])
"""


def test_rich_is_imported_for_a_terminal_alone_and_may_be_missing():
    help_ = [sys.executable, "-c", CODE, "free", "flops", "--help"]
    assert on_pipe(help_)[0].endswith("\n[]\n")
    assert "'rich_argparse'" in on_terminal(help_)
    version = [sys.executable, "-c", CODE, "free", "--version"]
    assert on_terminal(version).endswith("\n[]\n")
    blocked = [sys.executable, "-c", CODE, "blocked", "upscale", "none.png", "-o", "out"]
    assert "smsr upscale: error: none.png does not exist\n" in on_terminal(blocked)
