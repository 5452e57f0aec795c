"""The roof: every command is there at once, light, and ends as the shell expects."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import smsr_plugin
from smsr_plugin.cli import completion, convert
from smsr_plugin.cli.main import COMMANDS, main

SCREEN = 40
HEAVY = ("torch", "basicsr", "numpy", "cv2", "PIL", "argcomplete")


def printed_help(capsys, *command: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    return capsys.readouterr().out


def run(*arguments: str, code: str = "", **options) -> subprocess.CompletedProcess[str]:
    """Run `smsr` in a process of its own, after some Python code."""
    code = f"import sys; from smsr_plugin.cli.main import main; {code}sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_help_lists_every_command(capsys):
    lines = printed_help(capsys).splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("    ") and line[4] != " "]
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_fits_a_screen(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed_help(capsys, *command).splitlines()
    assert lines[0].startswith(" ".join(["usage: smsr", *command]))
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= 80


def test_help_imports_nothing_heavy():
    code = f"import atexit; atexit.register(lambda: print(*{{*{HEAVY}}} & {{*sys.modules}})); "
    result = run("--help", code=code)
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == ""


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"smsr_plugin {smsr_plugin.__version__}\n"


@pytest.mark.parametrize("argv", [[], ["upscalee"], ["completion", "cmd"]])
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert capsys.readouterr().err.splitlines()[-1].startswith("smsr")


def test_ctrl_c_is_one_line_and_130(monkeypatch, capsys):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(convert, "run", interrupt)
    assert main(["convert", "a.pth", "b.safetensors"]) == 130
    assert capsys.readouterr().err == "smsr convert: interrupted\n"


def test_a_reader_that_leaves_is_no_traceback():
    code = f"import {completion.__name__} as c; c.run = lambda args: print('x' * 1000000) or 0; "
    command = [sys.executable, "-c", f"{code}from smsr_plugin.cli.main import main; exit(main())"]
    process = subprocess.Popen(
        [*command, "completion", "bash"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.read(1) == "x"
    process.stdout.close()
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (1, "")


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_names_the_program(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "smsr" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="argcomplete answers on a descriptor")
@pytest.mark.parametrize(
    ("line", "endings"),
    [("smsr com", ["completion"]), ("smsr completion ", ["bash", "fish", "zsh"]),
     ("smsr convert --f", ["--force"])],
)  # fmt: skip
def test_the_shell_completes_commands_and_options(line, endings, tmp_path):
    answer = tmp_path / "answer"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    run(env={**os.environ, **asked})
    assert sorted(answer.read_text().split()) == endings
