"""Clips made by PyAV, and what is in a video file."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 48000
#: Frames of a clip are dated in six hundredths of a second.
UNIT = Fraction(1, 600)


@dataclass(frozen=True)
class Look:
    """How a clip is made.

    Attributes:
        pix_fmt: Of its frames.
        tags: Matrix, primaries, transfer and range, as H.273 and FFmpeg number them.
        rotation: Degrees by which players turn it, counter-clockwise.
        lasts: Units that frames last, in turns.
        codec: Of the sound; none without.
        size: Width and height.
    """

    pix_fmt: str = "yuv420p"
    tags: tuple[int, int, int, int] = (1, 1, 1, 1)
    rotation: int = 0
    lasts: tuple[int, ...] = (25,)
    codec: str = "aac"
    size: tuple[int, int] = (32, 24)
    options: dict[str, str] = field(default_factory=lambda: {"crf": "0"})


def picture(number: int, width: int, height: int) -> np.ndarray:
    """Return frame `number`, (H, W, 3) uint8: moving colours, none near black or white."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + number / 5 + c) + np.cos(y / 7 - number / 8 + 2 * c) for c in range(3)]
    return np.rint(128 + 30 * np.dstack(waves)).astype(np.uint8)


def make_clip(path: Path, frames: int, look: Look | None = None) -> Path:
    """Write a clip with sound that lasts as long."""
    look = look or Look()
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Waves"
        video = container.add_stream("libx264", rate=24, options=look.options)
        video.width, video.height = look.size
        video.pix_fmt = look.pix_fmt
        codec = video.codec_context
        codec.time_base, codec.sample_aspect_ratio = UNIT, Fraction(4, 3)
        codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range = look.tags
        if look.rotation:
            video.set_display_rotation(look.rotation)
        sound = container.add_stream(look.codec, rate=RATE, layout="mono") if look.codec else None
        date = 0
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *look.size), format="rgb24")
            matrix = {1: "ITU709", 9: "BT2020"}[look.tags[0]]
            frame = frame.reformat(
                format=look.pix_fmt, dst_colorspace=matrix, dst_color_range=look.tags[3]
            )
            frame.pts, frame.time_base = date, UNIT
            date += look.lasts[number % len(look.lasts)]
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            _add_sound(container, sound, round(date * UNIT * RATE))
    return path


def _add_sound(container, stream, length: int) -> None:
    samples = (np.sin(np.arange(length) / 20) * 0.3).astype(np.float32)
    kind = stream.codec_context.codec.audio_formats[0].name
    size = 1024
    for start in range(0, length - size, size):
        block = samples[None, start : start + size]
        if kind.startswith("s16"):
            block = (block * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(block, format=kind, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


@dataclass(frozen=True)
class Content:
    """What is in a video file.

    Attributes:
        dates: Of the frames, in seconds.
        luma: (H, W) of each frame, in the file's own numbers.
        tags: As of `Look`, of the stream.
        aspect: Width of a pixel in its height.
        rotation, pix_fmt: As of `Look`.
        sound: (channels, samples).
        title: Of the whole.
    """

    dates: list[Fraction]
    luma: list[np.ndarray]
    tags: tuple[int, int, int, int]
    aspect: Fraction
    rotation: int
    pix_fmt: str
    sound: np.ndarray
    title: str


def _luma(frame: av.VideoFrame) -> np.ndarray:
    planes = frame.to_ndarray()
    return (planes[0] if planes.ndim == 3 else planes[: frame.height]).astype(int)


def content_of(path: Path) -> Content:
    """Read a whole video file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        codec = stream.codec_context
        dates = [frame.pts * frame.time_base for frame in frames]
        luma = [_luma(frame) for frame in frames]
        tags = (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range)
        aspect, rotation = stream.sample_aspect_ratio, frames[0].rotation
        told = {key.lower(): value for key, value in container.metadata.items()}
        title = told.get("title", "")
    with av.open(str(path)) as container:
        blocks = (
            [f.to_ndarray() for f in container.decode(audio=0)] if container.streams.audio else []
        )
    sound = np.concatenate(blocks, 1) if blocks else np.zeros((0, 0))
    return Content(dates, luma, tags, aspect, rotation, frames[0].format.name, sound, title)
