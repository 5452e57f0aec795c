"""`smsr upscale` on a video, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from video_files import Look, content_of, make_clip, picture

import smsr_plugin
from smsr_plugin.cli.main import main
from smsr_plugin.upscaling.video import segments
from smsr_plugin.upscaling.video.run import VideoUpscaler

pytestmark = pytest.mark.usefixtures("net")


def test_a_hundred_frames_with_sound(tmp_path, net, capsys):
    make_clip(tmp_path / "a.mp4", 100, Look(pix_fmt="yuv444p"))
    assert main(["upscale", "a.mp4", "-o", "b.mp4", "--crf", "0"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert re.fullmatch(
        r"a\.mp4 → b\.mp4  32×24 → 64×48, yuv420p, 100 frames, density 0\.\d\d, \d+\.\d\d s\n",
        printed.out,
    )
    before, after = content_of(tmp_path / "a.mp4"), content_of(tmp_path / "b.mp4")
    assert after.dates == before.dates
    assert np.array_equal(after.sound, before.sound)
    with torch.no_grad():
        sr = net(torch.from_numpy(picture(70, 32, 24)).permute(2, 0, 1)[None] / 255)[0].clamp(0, 1)
    luma = 16 + 219 * np.tensordot([0.2126, 0.7152, 0.0722], sr.numpy(), 1)  # BT.709
    assert np.abs(after.luma[70] - luma).mean() < 1
    assert not (tmp_path / "b.mp4.parts").exists()


def test_the_report_for_machines_and_what_is_there_already(tmp_path, capsys):
    make_clip(tmp_path / "a.mkv", 5, Look(codec=""))
    assert main(["upscale", "a.mkv", "-o", "out", "--suffix", "_x2", "--json"]) == 0
    video = json.loads(capsys.readouterr().out)["video"]
    assert (video["source"], video["target"]) == ("a.mkv", "out/a_x2.mkv")
    assert (video["frames"], video["resumed"], video["size"]) == (5, 0, [64, 48])
    assert (video["lq_size"], video["pixel_format"], video["notes"]) == ([32, 24], "yuv420p", [])
    assert main(["upscale", "a.mkv", "-o", "out/a_x2.mkv", "--skip-existing"]) == 0
    assert capsys.readouterr().out == "a.mkv: skipped, out/a_x2.mkv is there\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mp4", "-o", "b.mp4"], "none.mp4: cannot be read: No such file"),
        (["a.mp4", "-o", "b.gif"], "b.gif: videos are written as .mp4, .m4v, .mov, .mkv"),
        (["a.mp4", "c.png", "-o", "out"], "give one video at a time"),
        (["a.mp4", "-o", "a.mp4"], "a.mp4 is the video itself: choose another name"),
        (["a.mp4", "-o", "b.mp4", "--masks", "m"], "--masks is for images, and a.mp4 is a video"),
        (["fake.mp4", "-o", "b.mp4"], "fake.mp4: Invalid data found"),
        (["a.mp4", "-o", "b.mp4", "--scale", "3"], "scale"),
    ],
)
def test_wrong_usage_is_one_line_and_touches_nothing(tmp_path, capsys, arguments, message):
    make_clip(tmp_path / "a.mp4", 2)
    (tmp_path / "fake.mp4").write_text("nonsense")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(["upscale", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("smsr upscale: error: ")
    assert message in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_fails_on_the_way_is_one_line_and_what_is_done_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(VideoUpscaler.__init__, "__defaults__", (16, 8))
    make_clip(tmp_path / "a.mp4", 20)
    encode, left = segments.Encoder.add, [18]

    def fail(self, pixels, pts):
        if not left[0]:
            raise OSError(28, "No space left on device", "b.mp4.parts")
        left[0] -= 1
        encode(self, pixels, pts)

    monkeypatch.setattr(segments.Encoder, "add", fail)
    assert main(["upscale", "a.mp4", "-o", "b.mp4"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "No space left on device" in error
    assert "the same command goes on" in error
    left[0] = 100
    assert main(["upscale", "a.mp4", "-o", "b.mp4"]) == 0
    assert "20 frames (16 of an earlier run), density" in capsys.readouterr().out
    assert left[0] == 96  # four more of them


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_goes_on_with_the_same_command(tmp_path, sign):
    make_clip(tmp_path / "a.mp4", 300, Look(size=(128, 96)))
    code = "import sys; from smsr_plugin.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "upscale", "a.mp4", "-o", "b.mp4"]
    environment = {**os.environ, "PYTHONPATH": str(Path(smsr_plugin.__file__).parents[1])}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    parts, deadline = tmp_path / "b.mp4.parts", time.monotonic() + 100
    while not (parts / "00001.nut").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(sign)
    _, error = process.communicate(timeout=60)
    if sign == signal.SIGINT:
        assert process.returncode == 130
        assert error == "smsr upscale: interrupted; the same command goes on\n"
    assert not (tmp_path / "b.mp4").exists()
    kept = 48 * len(list(parts.glob("*.nut")))
    assert 96 <= kept < 300
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"300 frames ({kept} of an earlier run)" in done.stdout
    before, after = content_of(tmp_path / "a.mp4"), content_of(tmp_path / "b.mp4")
    assert before.dates == after.dates
    assert np.array_equal(before.sound, after.sound)
