"""Videos: what is kept, what becomes of the colours, and how a run that was killed goes on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from video_files import RATE, Look, content_of, make_clip

from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling.inputs import names_a_video, result_path
from smsr_plugin.upscaling.video.clip import Clip, VideoError
from smsr_plugin.upscaling.video.run import VideoUpscaler

HDR = (9, 9, 16, 1)  # BT.2020 with PQ
PRIMING = 1024  # samples that FFmpeg's encoder of AAC puts before the beginning


class Doubler:
    """Repeats each pixel, so that what comes out is known; may be interrupted at a frame."""

    def __init__(self, scale: int = 2, until: int = 10**9) -> None:
        self.scale, self.until, self.calls = scale, until, 0

    def size_of(self, width, height):
        return self.scale * width, self.scale * height

    def enlarged(self, colour, alpha):
        if self.calls == self.until:
            raise KeyboardInterrupt
        self.calls += 1
        larger = colour.repeat(self.scale, 0).repeat(self.scale, 1)
        return SimpleNamespace(
            colour=larger, run=SimpleNamespace(spa_mask=np.eye(2, dtype=bool)[None])
        )


def enlarged(path: Path, out: Path, doubler: Doubler | None = None, length: int = 8):
    """Enlarge without loss; return what came of it."""
    upscaler = VideoUpscaler(Clip.open(path), out, doubler or Doubler(), crf=0, length=length)
    return upscaler.run("the same")


@pytest.mark.parametrize("look", [
    Look(lasts=(25, 40, 10), rotation=90),
    Look(lasts=(20,), pix_fmt="yuv420p10le", tags=HDR),
    Look(pix_fmt="yuv444p", tags=(1, 1, 1, 2), codec=""),
], ids=["variable rate, turned", "10 bits, HDR", "4:4:4, full range, silent"])  # fmt: skip
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_all_but_the_size_is_kept(tmp_path, look, suffix):
    source = make_clip(tmp_path / "a.mp4", 20, look)
    outcome = enlarged(source, tmp_path / f"b{suffix}")
    assert (outcome.frames, outcome.resumed, outcome.size) == (20, 0, (64, 48))
    assert outcome.density == 0.5
    before, after = content_of(source), content_of(tmp_path / f"b{suffix}")
    # Matroska dates by the millisecond, and from 0: what the encoder of sound has put before its
    # beginning, which MP4 hides, moves all by as much where FFmpeg does not hide it there too.
    hides = suffix == ".mp4" or av.library_versions["libavformat"] >= (63,)
    length = before.sound.shape[-1]
    early = Fraction(after.sound.shape[-1] - length, RATE)
    moved = [date - early for date in after.dates]
    unit = 0 if suffix == ".mp4" else 0.001
    assert early == (0 if hides or not look.codec else Fraction(PRIMING, RATE))
    assert max(abs(a - b) for a, b in zip(before.dates, moved, strict=True)) <= unit
    assert after.title == before.title == "Waves"
    assert after.tags == before.tags == look.tags
    assert (after.aspect, after.rotation) == (before.aspect, look.rotation)
    assert after.pix_fmt.replace("yuvj", "yuv") == (
        "yuv420p10le" if "10" in look.pix_fmt else "yuv420p"
    )
    assert np.array_equal(before.sound, after.sound[:, after.sound.shape[-1] - length :])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", f"b{suffix}"]
    # Through RGB and back; of 10 bits x264 loses a little at a factor of 0.
    for one, other in zip(before.luma, after.luma, strict=True):
        largest = np.abs(one.repeat(2, 0).repeat(2, 1) - other).max()
        assert largest <= (6 if "10" in look.pix_fmt else 1)


@pytest.mark.parametrize("until", [0, 5, 21, 39])
def test_a_run_that_was_stopped_goes_on_and_computes_nothing_twice(tmp_path, until):
    source = make_clip(tmp_path / "a.mp4", 40, Look(lasts=(25, 40, 10), options={"g": "12"}))
    whole, parts = tmp_path / "whole.mp4", tmp_path / "b.mp4"
    enlarged(source, whole)
    with pytest.raises(KeyboardInterrupt):
        enlarged(source, parts, Doubler(until=until))
    assert not parts.exists()
    doubler = Doubler()
    outcome = enlarged(source, parts, doubler)
    kept = until // 8 * 8
    assert (outcome.frames, outcome.resumed, doubler.calls) == (40, kept, 40 - kept)
    one, other = content_of(whole), content_of(parts)
    assert one.dates == other.dates
    assert all(map(np.array_equal, one.luma, other.luma))
    assert np.array_equal(one.sound, other.sound)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "whole.mp4"]


def test_parts_of_something_else_are_not_taken(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 20)
    with pytest.raises(KeyboardInterrupt):
        enlarged(source, tmp_path / "b.mp4", Doubler(until=17))
    assert (tmp_path / "b.mp4.parts" / "00001.nut").is_file()
    doubler = Doubler()
    upscaler = VideoUpscaler(Clip.open(source), tmp_path / "b.mp4", doubler, crf=1, length=8)
    assert upscaler.run("the same").resumed == 0
    assert doubler.calls == 20


def test_a_run_that_was_killed_while_it_put_the_parts_together_goes_on(tmp_path, monkeypatch):
    source = make_clip(tmp_path / "a.mp4", 20)
    with monkeypatch.context() as patch:
        patch.setattr("smsr_plugin.upscaling.video.run.join", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            enlarged(source, tmp_path / "b.mp4")
    doubler = Doubler()
    outcome = enlarged(source, tmp_path / "b.mp4", doubler)
    assert (outcome.resumed, outcome.density, doubler.calls) == (20, None, 0)
    assert len(content_of(tmp_path / "b.mp4").luma) == 20


def test_time_is_counted_exactly(tmp_path):
    clip = Clip.open(make_clip(tmp_path / "a.mp4", 3, Look(lasts=(25,))))
    assert (clip.rate, clip.aspect) == (24, Fraction(4, 3))
    unit = clip.time_base
    assert unit * unit * unit == Fraction(1, unit.denominator**3)


def test_odd_sides_are_cut_and_that_is_said(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 3, Look(pix_fmt="yuv444p", size=(33, 25)))
    upscaler = VideoUpscaler(Clip.open(source), tmp_path / "b.mp4", Doubler(3), crf=0)
    assert upscaler.notes == ["cut from 99×75 to 98×74: H.264 holds even sides only"]
    upscaler.run("")
    assert content_of(tmp_path / "b.mp4").luma[0].shape == (74, 98)


def test_what_is_no_video_is_one_line(tmp_path):
    fake = tmp_path / "a.mp4"
    fake.write_bytes(b"nonsense" * 100)
    with pytest.raises(VideoError, match=r"a\.mp4: Invalid data found"):
        Clip.open(fake)
    with pytest.raises(VideoError, match=r"none\.mp4: cannot be read"):
        Clip.open(tmp_path / "none.mp4")
    source = make_clip(tmp_path / "b.mp4", 3)
    with pytest.raises(VideoError, match="has 768 pixels, above the limit of 700"):
        Clip.open(source, 700)
    cut = tmp_path / "c.mp4"
    cut.write_bytes(source.read_bytes()[:-400])
    with pytest.raises(VideoError, match=r"c\.mp4"):
        Clip.open(cut)


def test_a_list_of_other_files_is_not_followed(tmp_path):
    """FFmpeg tells a kind by the content, and would open what a playlist names."""
    secret = make_clip(tmp_path / "secret.mp4", 3)
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{secret}'\n",
    ):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(VideoError, match=r"list\.mp4"):
            Clip.open(tmp_path / "list.mp4")


def test_sound_that_the_result_cannot_hold_is_told_before_the_work(tmp_path):
    source = make_clip(tmp_path / "a.mkv", 3, Look(codec="flac"))
    clip = Clip.open(source)
    with pytest.raises(RequestError, match=r"\.mov cannot hold sound of the kind flac: take \.mkv"):
        VideoUpscaler(clip, tmp_path / "b.mov", Doubler())
    enlarged(source, tmp_path / "b.mkv")
    assert np.array_equal(content_of(source).sound, content_of(tmp_path / "b.mkv").sound)


def test_the_video_itself_is_not_overwritten(tmp_path):
    source = make_clip(tmp_path / "a.mp4", 3)
    with pytest.raises(RequestError, match="is the video itself"):
        VideoUpscaler(Clip.open(source), source, Doubler())


def test_where_the_result_goes(tmp_path):
    assert names_a_video("a.MP4")
    assert not names_a_video("a.png")
    assert not names_a_video(str(tmp_path))
    assert result_path(["in/a.mov"], tmp_path, "_x2") == tmp_path / "a_x2.mov"
    assert result_path(["a.webm"], Path("new")) == Path("new/a.mkv")
    assert result_path(["a.webm"], Path("b.mp4")) == Path("b.mp4")
    with pytest.raises(RequestError, match="one video at a time"):
        result_path(["a.mp4", "b.png"], tmp_path)
    with pytest.raises(RequestError, match=r"b\.webm: videos are written as \.mp4"):
        result_path(["a.mp4"], Path("b.webm"))
