"""The command: exit codes, one-line errors, and a report whose option lines work as YAML."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import prepare as main

from smsr_plugin.data import prepare
from smsr_plugin.data.lmdb_store import find_fault

REPOSITORY = Path(__file__).parents[2]
SMALL = ("--crop-size", "24", "--step", "12", "--workers", "1")


def test_report_tells_what_was_done_and_what_to_paste(tmp_path, make_images, capsys):
    root = tmp_path / "my data: new"
    make_images(root / "DIV2K_train_HR", {"a.png": (36, 24)})
    make_images(root / "DIV2K_valid_HR", {"b.png": (30, 30)})
    command = ["--root", str(root), "--scales", "2", *SMALL]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert f"{root}/DIV2K_train_HR_sub.lmdb: 2 images, made\n" in out
    options = yaml.safe_load(out.partition("option file:\n")[2])
    for phase, gt, lq in (
        ("train", "DIV2K_train_HR_sub.lmdb", "DIV2K_train_LR_bicubic_X2_sub.lmdb"),
        ("val", "DIV2K_valid_HR.lmdb", "DIV2K_valid_LR_bicubic_X2.lmdb"),
    ):
        assert options["datasets"][phase] == {
            "dataroot_gt": f"{root}/{gt}",
            "dataroot_lq": f"{root}/{lq}",
            "io_backend": {"type": "lmdb"},
        }
    assert main(command) == 0
    assert "DIV2K_valid_HR.lmdb: 1 images, kept\n" in capsys.readouterr().out
    assert main([*command, "--overwrite"]) == 0
    assert "DIV2K_valid_HR.lmdb: 1 images, replaced\n" in capsys.readouterr().out


def test_what_is_left_out_is_told(tmp_path, make_images, capsys):
    photos = make_images(tmp_path / "photos", {"a.png": (36, 24), "b.png": (9, 9)})
    make_images(photos / "more", {"c.png": (36, 24)})
    command = ["--root", str(tmp_path), "--train-hr", str(photos), "--scales", "2", *SMALL]
    assert main(command) == 2
    assert "b.png is 9×9 (height×width), but at least 24×24 is needed; --skip-small" in (
        capsys.readouterr().err
    )
    assert main([*command, "--skip-small"]) == 0
    captured = capsys.readouterr()
    notes = [line for line in captured.err.splitlines() if "note" in line]
    assert len(notes) == 2
    assert notes[0].endswith(f"only --recursive searches: {photos}/more")
    assert f"{tmp_path}/photos_train_HR_sub.lmdb: 2 images, made" in captured.out
    assert main([*command, "--skip-small", "--recursive", "--name", "all"]) == 0
    assert f"{tmp_path}/all_train_HR_sub.lmdb: 4 images, made" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to prepare"),
        (("--train-hr", "nowhere"), "nowhere is not a folder"),
        (("--crop-size", "25"), "crop_size 25 is not a multiple of scale 2"),
        (("--step", "0"), "step must be at least 1"),
        (("--workers", "0"), "workers must be at least 1"),
    ],
)
def test_bad_data_and_values_are_one_line_and_exit_code_2(tmp_path, capsys, arguments, message):
    assert main(["--root", str(tmp_path), *SMALL, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("smsr prepare: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_unknown_scales_are_bad_usage(capsys):
    with pytest.raises(SystemExit) as error:
        main(["--scales", "5"])
    assert error.value.code == 2
    assert re.search("invalid choice: '?5'?", capsys.readouterr().err)  # quoted since Python 3.14


def test_interruption_says_how_to_go_on(monkeypatch, capsys):
    def interrupt(request):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "prepare", interrupt)
    assert main([]) == 130
    assert "smsr prepare: interrupted; the same command goes on" in capsys.readouterr().err


def test_help_fits_a_screen(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert "example:" in lines


def test_preparation_does_without_torch_and_basicsr():
    code = (
        "import sys, smsr_plugin.data.prepare, smsr_plugin.data.prepare; "
        "print(*{'torch', 'basicsr', 'cv2'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=REPOSITORY, text=True, timeout=60) == "\n"


def run_command(*arguments: object, before: str = "pass") -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, after some Python code."""
    code = f"import sys; from smsr_plugin.cli.main import main; {before}; sys.exit(main())"
    command = [sys.executable, "-c", code, "prepare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_full_disk_leaves_nothing_under_a_final_name(tmp_path, make_images):
    make_images(tmp_path / "DIV2K_valid_HR", {f"{i}.png": (96, 96) for i in range(4)})
    # A limit on file sizes stops LMDB's writes midway, as a full disk does.
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (60000, 60000))"
    command = ("--root", tmp_path, "--workers", 1)
    failed = run_command(*command, before=limit)
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith("smsr prepare: error: cannot write to ")
    assert "Traceback" not in failed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["DIV2K_valid_HR"]
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    assert find_fault(tmp_path / "DIV2K_valid_HR.lmdb") is None
