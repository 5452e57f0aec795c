"""The roof: every command is there at once, light, and ends as the shell expects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from networks import tiny_smsr
from PIL import Image

import smsr_plugin
from smsr_plugin.cli import completion, convert
from smsr_plugin.cli.main import COMMANDS, SPIN_COUNT, main, make_parser
from smsr_plugin.sparse.native.kernels import load_kernels

SCREEN = 40
HEAVY = ("torch", "basicsr", "numpy", "cv2", "PIL", "argcomplete", "rich")


def printed_help(capsys, *command: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    return capsys.readouterr().out


def run(*arguments: str, code: str = "", **options) -> subprocess.CompletedProcess[str]:
    """Run `smsr` in a process of its own, after some Python code."""
    code = f"import sys; from smsr_plugin.cli.main import main; {code}sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, **options)


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


@pytest.mark.parametrize("argv", [[], ["help"], ["help", "convert"]])
def test_no_arguments_and_help_are_the_help(argv, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(argv)
    assert capsys.readouterr().out == printed_help(capsys, *argv[1:])


def test_version_tells_kernels_torch_and_threads(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    version, kernels, framework, _ = capsys.readouterr().out.splitlines()
    assert version == f"smsr_plugin {smsr_plugin.__version__}"
    native = load_kernels()
    assert kernels.startswith(f"kernels {native.isa() if native else 'none'}")
    assert framework == f"torch {torch.__version__}, {torch.get_num_threads()} threads"


def test_version_without_kernels_says_so(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "smsr_plugin._kernels", None)
    monkeypatch.delattr(smsr_plugin, "_kernels", raising=False)
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert "kernels none, sparse inference runs in plain PyTorch" in capsys.readouterr().out


def test_the_package_is_the_command_too():
    command = [sys.executable, "-m", "smsr_plugin", "completion", "bash"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "smsr" in done.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("upscalee", "smsr: error: unknown command upscalee: did you mean upscale?"),
        ("help upscalee", "smsr: error: unknown command upscalee: did you mean upscale?"),
        ("xyz", "smsr: error: unknown command xyz: there are upscale, report,"),
        ("--vrsion", "smsr: error: unknown option --vrsion: did you mean --version?"),
        ("completion cmd", "smsr completion: error: argument shell: invalid choice: 'cmd'"),
        # What else is missing is of no interest where an option was mistyped.
        ("upscale a --wieghts b", "error: unknown option --wieghts: did you mean --weights?"),
        ("upscale a --tilt=3", "error: unknown option --tilt: did you mean --tile?"),
        ("upscale -i a -o b", "error: unknown option -i: name the images without an option"),
        ("upscale a -o b -s 4", "error: unknown option -s: did you mean --scale"),
        ("train --opt a", "smsr train: error: unknown option --opt: did you mean -opt?"),
        ("train -opt a --autoresume", "option --autoresume: did you mean --auto_resume?"),
        ("train -opt a --locl_rank 1", "unknown option --locl_rank (smsr train --help)"),
        ("upscale a -o b --qqqqqq", "unknown option --qqqqqq (smsr upscale --help)"),
        ("upscale a", "the following arguments are required: -o/--out"),
        ("flops SMSR more", "smsr flops: error: unexpected: more"),
        ("upscale a -o b --tile -3", "argument --tile: expected a whole number from 0, got '-3'"),
        ("upscale a -o b --weights", "argument --weights: expected one argument"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_was_meant(argv, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(argv.split())
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_an_option_of_any_characters_is_one_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["convert", "a", "b", "--x\n\x1b[31m"])
    assert capsys.readouterr().err == (
        r"smsr convert: error: unknown option --x\n\x1b[31m (smsr convert --help)" + "\n"
    )


@pytest.mark.parametrize("argv", [["--thres", "-1.5"], ["--thres", "-1"], ["--thres=-.5"]])
def test_abbreviations_and_negative_numbers_are_taken(argv):
    args = make_parser().parse_args(["upscale", "a", "-obig", *argv])
    assert args.threshold == float(argv[-1].rpartition("=")[2])
    assert args.out == Path("big")


@pytest.mark.parametrize(
    "argv",
    [
        "upscale ~/a.png -o ~/out --weights ~/net.pth --masks ~/masks",
        "report ~/a.png -o ~/page.html --weights ~/net.pth --gt ~/gt",
        "benchmark RLFN --images ~/HR --out ~/out",
        "flops --weights ~/net.pth --image ~/a.png",
        "flops --opt ~/a.yml",
        "train -opt ~/a.yml --root ~/runs",
        "test -opt ~/a.yml --root ~/runs",
        "prepare --root ~/data --train-hr ~/a --valid-hr ~/b",
        "convert ~/net.pth ~/net.safetensors",
        "export ~/net.pth ~/net.onnx",
    ],
)
def test_a_tilde_is_the_home_folder_in_every_path(argv, monkeypatch):
    monkeypatch.setenv("HOME", "/at/home")
    found = str(vars(make_parser().parse_args(argv.split())))
    assert found.count("/at/home/") == argv.count("~/")
    assert "~" not in found


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    def fail(args):
        raise ImportError("no name x", name="smsr_plugin.x")

    monkeypatch.setattr(convert, "run", fail)
    with pytest.raises(ImportError, match="no name x"):
        main(["convert", "a.pth", "b.safetensors"])


@pytest.mark.skipif(load_kernels() is None, reason="the native kernels were not built")
def test_an_instruction_set_that_there_is_not_is_one_line():
    done = run("convert", "a", "b.safetensors", env={**os.environ, "SMSR_ISA": "zz"})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(
        'smsr convert: error: SMSR_ISA is "zz"; this processor runs: base'
    )


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_full_disk_behind_stdout_is_one_line():
    command = [sys.executable, "-m", "smsr_plugin", "options"]
    for buffering in ({}, {"PYTHONUNBUFFERED": "1"}):
        environment = {**os.environ, "PYTHONUNBUFFERED": "", **buffering}
        with open("/dev/full", "w") as full:  # noqa: PTH123
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment
            )
        said = "smsr options: error: cannot write its output: No space left on device\n"
        assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.skipif(sys.platform == "win32", reason="its shell closes nothing")
def test_a_stdout_that_is_closed_is_no_traceback():
    command = ["sh", "-c", 'exec "$0" -m smsr_plugin options >&-', sys.executable]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_processes_of_a_command_find_nothing_in_the_current_folder(tmp_path):
    (tmp_path / "decoy.py").write_text("print('found')")
    child = "[sys.executable, '-c', 'import decoy']"
    start = f"c.run = lambda args: __import__('subprocess').run({child}).returncode"
    code = f"from smsr_plugin.cli import completion as c; {start}; "
    result = run("completion", "bash", code=code, cwd=tmp_path)
    assert "No module named 'decoy'" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("chosen", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_threads_wait_briefly_unless_the_user_says_otherwise(chosen):
    code = (
        "import os; from smsr_plugin.cli import completion as c; "
        "c.run = lambda args: print(os.environ.get('GOMP_SPINCOUNT')) or 0; "
    )
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    done = run("completion", "bash", code=code, env=environment | chosen)
    expected = chosen.get("GOMP_SPINCOUNT") if chosen else SPIN_COUNT
    assert done.stdout.split() == [str(expected)]


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


@pytest.mark.parametrize(
    "arguments",
    [
        "upscale hr/a.png -o loop --weights net.pth",
        "upscale hr/a.png -o loop/b --weights net.pth",
        "prepare --root loop --valid-hr hr --scales 2",
        "prepare --root d --valid-hr loop --scales 2",
        "convert net.pth LONG.safetensors",
        "convert net.pth loop/a.safetensors",
        "export net.pth LONG.onnx",
        "export net.pth loop/a.onnx",
        "report hr/a.png --weights net.pth -o LONG.html",
        "report loop/a.png --weights net.pth",
        "benchmark net.pth --images hr --rounds 0 --out LONG",
        "benchmark net.pth --images loop --rounds 0 --out o",
        "flops --weights LONG",
    ],
)
def test_names_that_no_file_can_have_are_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("hr").mkdir()
    Image.new("RGB", (8, 8)).save("hr/a.png")
    torch.save({"params": tiny_smsr().state_dict()}, "net.pth")
    command, *words = arguments.replace("LONG", 300 * "x").split()
    assert main([command, *words]) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith(f"smsr {command}: error: ")
    assert error.count("\n") == 1
    assert "Errno" not in error
