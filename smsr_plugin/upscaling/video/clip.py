"""A video file as it is read: its frames, what is said of them, and the other streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av import Packet, VideoFrame
from av.container import InputContainer
from av.error import FFmpegError

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.reading import check_pixels
from smsr_plugin.names import first_line
from smsr_plugin.staging import open_regular
from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling.video.colour import Colours

#: Of FFmpeg's readers, those that read one file and open no other.
READERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,nut,ogg"
OPTIONS = {"format_whitelist": READERS, "protocol_whitelist": "file"}
MATRIX = "DISPLAYMATRIX"
#: What is said of the file, not of the video.
OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder")
Rotation = tuple[int, ...]


class VideoError(ImageError):
    """A video cannot be read or written; the message is one line."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make errors of FFmpeg to one line that names the file."""
    try:
        yield
    except FFmpegError as error:
        raise VideoError(f"{path}: {error.strerror or first_line(error)}") from error


@dataclass(frozen=True)
class Clip:
    """A video.

    Attributes:
        path: The file.
        width, height: Of its frames, as they are stored.
        time_base: The unit of time, in seconds, in which its frames are dated.
        rate: Frames a second, on the average.
        num_frames: How many there are, or about as many; 0 where the file does not tell.
        aspect: Width of a pixel in its height.
        colours: Of its frames.
        rotation: Nine numbers by which players turn the frames; empty for none.
        interlaced: Whether a frame is two, in every other line.
        has_alpha: Whether it has opacity, which is not read.
        titles: Its title, date, and what else is said of it as a whole.
    """

    path: Path
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    num_frames: int
    aspect: Fraction
    colours: Colours
    rotation: Rotation
    interlaced: bool
    has_alpha: bool
    titles: Mapping[str, str]

    @classmethod
    def open(cls, path: Path, max_pixels: int | None = None) -> Clip:
        """Read what a file says and its first frame.

        Raises:
            VideoError: If it is no video, or its frames are too large.
            RequestError: If its colours are of an unknown kind.
        """
        with opened(path) as container:
            stream = _video_stream(container, path)
            try:
                check_pixels(stream.width, stream.height, max_pixels)
            except ImageError as error:
                raise VideoError(f"{path}: {error}") from error
            frame = next(container.decode(stream), None)
            if frame is None:
                raise VideoError(f"{path}: holds no frame that can be decoded")
            # What PyAV 19 has in place of fractions rounds products to 32 bits.
            rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
            length = (stream.duration or 0) * (stream.time_base or 0)
            length = length or Fraction(container.duration or 0, av.time_base)
            matrix = frame.side_data.get(MATRIX)
            return cls(
                path,
                frame.width,
                frame.height,
                Fraction(stream.time_base or 1 / rate),
                rate,
                stream.frames or round(length * rate),
                Fraction(stream.sample_aspect_ratio or 1),
                Colours.of(frame),
                tuple(memoryview(matrix).cast("B").cast("i")) if matrix is not None else (),
                frame.interlaced_frame,
                any(component.is_alpha for component in frame.format.components),
                {k: v for k, v in container.metadata.items() if k not in OF_THE_FILE},
            )

    def decoded(self, after: int | None = None) -> Iterator[VideoFrame]:
        """Yield the frames in their order, in units of `time_base`.

        Frames that are dated as early as one before them, or not at all, are left out.

        Args:
            after: Only those dated later.

        Raises:
            VideoError: If one cannot be decoded, or the size changes.
        """
        if after is not None:
            with opened(self.path) as container:
                stream = _video_stream(container, self.path)
                container.seek(after, stream=stream)
                first = next(container.decode(stream), None)
            # Some files have no index, and lead beyond what is asked for.
            if first is None or first.pts is None or first.pts > after:
                yield from self._decoded(None, after)
                return
        yield from self._decoded(after, after)

    def _decoded(self, seek: int | None, after: int | None) -> Iterator[VideoFrame]:
        with opened(self.path) as container:
            stream = _video_stream(container, self.path)
            if seek is not None:
                container.seek(seek, stream=stream)
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if frame.pts is None or (after is not None and frame.pts <= after):
                    continue
                if (frame.width, frame.height) != (self.width, self.height):
                    raise VideoError(
                        f"{self.path}: the frames change from {self.width}×{self.height} to "
                        f"{frame.width}×{frame.height}, which is not supported"
                    )
                after = frame.pts
                yield frame

    @contextmanager
    def others(self) -> Iterator[tuple[list[Any], Iterator[Packet]]]:
        """Give the streams of sound and subtitles, and their packets as they are."""
        with opened(self.path) as container:
            streams = [s for s in container.streams if s.type in ("audio", "subtitle")]
            packets = (p for p in container.demux(streams) if p.size) if streams else iter(())
            yield streams, packets


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Open a video file; errors as of `naming`, also those in the block."""
    try:
        open_regular(path).close()
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror or error}") from error
    # As an absolute path no part of the name can be taken for a protocol.
    with naming(path), av.open(str(path.resolve()), options=OPTIONS) as container:
        yield container


def _video_stream(container: InputContainer, path: Path) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            return stream
    raise VideoError(f"{path}: holds no video")


def check_has_no_twin(clip: Clip, out: Path) -> None:
    """Raise RequestError if a result would replace the video itself."""
    if out.exists() and out.samefile(clip.path):
        raise RequestError(f"{out} is the video itself: choose another name")
