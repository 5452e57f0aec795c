"""How `smsr upscale` ends: some images failed, stopped in the middle, run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from image_files import eight, save
from PIL import Image

import smsr_plugin
from smsr_plugin.cli.main import main
from smsr_plugin.upscaling import batch as batch_module
from smsr_plugin.upscaling.network import Network

pytestmark = pytest.mark.usefixtures("net")


def test_what_a_killed_run_was_writing_is_swept(tmp_path):
    save(tmp_path / "a.png", eight(8, 10))
    for folder in ("out", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".0123456789abcdef.tmp").touch()
    (tmp_path / "out" / "mine.tmp").touch()
    assert main(["upscale", "a.png", "-o", "out", "--masks", "masks"]) == 0
    left = sorted(path.name for path in tmp_path.glob("*/*"))
    assert left == ["a.png", "a_masks.png", "mine.tmp"]


def test_what_exists_is_skipped_if_asked(tmp_path, capsys):
    save(tmp_path / "in" / "a.png", eight(9, 12))
    save(tmp_path / "in" / "b.png", eight(9, 12))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"old")
    assert main(["upscale", "in", "-o", "out", "--skip-existing"]) == 0
    assert (tmp_path / "out" / "a.png").read_bytes() == b"old"
    assert "in/a.png: skipped, out/a.png is there" in capsys.readouterr().out
    assert main(["upscale", "in", "-o", "out", "--skip-existing", "--masks", "m"]) == 0
    assert (tmp_path / "out" / "a.png").read_bytes() != b"old"  # its masks were not there
    assert main(["upscale", "in", "-o", "out"]) == 0


def test_an_image_of_which_the_network_makes_no_numbers_fails_alone(tmp_path, monkeypatch, capsys):
    for name in "ab":
        save(tmp_path / "in" / f"{name}.png", eight(9, 12))
    call, values = Network.__call__, [float("nan"), 0.0]

    def run(*args):
        done = call(*args)
        done.sr[0, 3, 4] += values.pop(0)
        return done

    monkeypatch.setattr(Network, "__call__", run)
    assert main(["upscale", "in", "-o", "out"]) == 1
    assert "error: in/a.png: the network makes NaN or infinity of it" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_what_memory_does_not_suffice_for_fails_alone(tmp_path, monkeypatch, capsys):
    save(tmp_path / "in" / "a.png", eight(9, 12))
    save(tmp_path / "in" / "b.png", eight(9, 12))
    call, errors = Network.__call__, [RuntimeError("DefaultCPUAllocator: can't allocate memory")]

    def run(*args):
        if errors:
            raise errors.pop()
        return call(*args)

    monkeypatch.setattr(Network, "__call__", run)
    assert main(["upscale", "in", "-o", "out"]) == 1
    assert "in/a.png: needs more memory than there is" in capsys.readouterr().err
    errors.append(RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["upscale", "in", "-o", "out"])


@pytest.mark.parametrize("step", ["read_picture", "write_picture"])
def test_memory_that_is_short_outside_the_network_is_the_images_fault_alone(
    tmp_path, monkeypatch, capsys, step
):
    for name in "abc":
        save(tmp_path / "in" / f"{name}.png", eight(9, 12))
    own = getattr(batch_module, step)

    def short_at_b(*args, **options):
        if any(isinstance(value, Path) and value.name == "b.png" for value in args):
            raise MemoryError
        return own(*args, **options)

    monkeypatch.setattr(batch_module, step, short_at_b)
    assert main(["upscale", "in", "-o", "out"]) == 1
    assert "error: in/b.png: needs more memory than there is" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_ctrl_c_keeps_what_is_done(tmp_path, monkeypatch, capsys):
    for name in "abc":
        save(tmp_path / "in" / f"{name}.png", eight(9, 12))
    write = batch_module.write_picture

    def interrupted_at_b(picture, path, *args):
        if path.name == "b.png":
            raise KeyboardInterrupt
        return write(picture, path, *args)

    monkeypatch.setattr(batch_module, "write_picture", interrupted_at_b)
    assert main(["upscale", "in", "-o", "out", "--json"]) == 130
    printed = capsys.readouterr()
    assert printed.err == "smsr upscale: interrupted, 2 left; --skip-existing goes on\n"
    report = json.loads(printed.out)
    assert (report["done"], report["left"]) == (1, 2)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_sigint_leaves_whole_files_only(tmp_path):
    # Seconds of work, so that the signal comes in the middle of it on a busy machine too.
    for number in range(60):
        save(tmp_path / "in" / f"{number:02}.png", eight(240, 240))
    code = "import sys; from smsr_plugin.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "upscale", "in", "-o", "out"]
    path = {**os.environ, "PYTHONPATH": str(Path(smsr_plugin.__file__).parents[1])}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=path,
        # Tests started in the background would hand down that the signal is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.count("\n") == 1
    assert "interrupted" in error
    for path in (tmp_path / "out").iterdir():
        with Image.open(path) as image:
            image.load()
