"""A result that is made in parts, so that a run that was killed goes on where it was; then joined.

A part is a file of a few seconds that begins with a whole frame and needs no other. It is there
only when it is whole. A folder beside the result holds the parts, and a note of what they are of.
The frames of all parts and the sound of the source make the result.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from heapq import merge
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from av import Packet, VideoFrame
from av.codec.context import Flags
from av.error import FFmpegError

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.pixels import Pixels
from smsr_plugin.staging import replace_file, staged_file
from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling.inputs import VIDEO_FORMATS
from smsr_plugin.upscaling.video.clip import Clip, naming
from smsr_plugin.upscaling.video.colour import FromRgb

#: Frames of a part: two seconds of film.
LENGTH = 48
#: NUT keeps dates in any unit.
FORMAT, SUFFIX = "nut", ".nut"
NOTE = "made_of.txt"
CODEC = "libx264"
#: Without frames that refer to later ones, parts follow each other with no overlap in time.
ENCODER = {"preset": "medium", "bf": "0"}


class Segments:
    """The parts of a result.

    Args:
        out: The result.
        made_of: What decides every pixel, as text. Parts of something else are removed.
        length: Frames of a part.

    Raises:
        OSError: If the folder cannot be made.
    """

    def __init__(self, out: Path, made_of: str, length: int = LENGTH) -> None:
        self.folder, self.length = out.with_name(f"{out.name}.parts"), length
        self._note = self.folder / NOTE
        if not self._note.is_file() or self._note.read_text("utf-8", "replace") != made_of:
            self.remove()
            self.folder.mkdir(parents=True)
            replace_file(self._note, made_of.encode())

    def files(self) -> list[Path]:
        """Return the parts that are there, from the first to the last before a gap."""
        found: list[Path] = []
        while (path := self.folder / f"{len(found):05}{SUFFIX}").is_file():
            found.append(path)
        return found

    def done(self, time_base: Fraction) -> tuple[int, int | None]:
        """Return how many frames are there, and the date of the last in units of `time_base`."""
        number, last = 0, None
        for path in self.files():
            for packet in packets_of(path):
                number, last = number + 1, packet
        if last is None or last.pts is None or last.time_base is None:
            return 0, None
        return number, round(last.pts * last.time_base / time_base)

    def add(self, content: bytes) -> None:
        """Write the next part."""
        replace_file(self.folder / f"{len(self.files()):05}{SUFFIX}", content)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Encoder:
    """Encodes frames into parts.

    Args:
        segments: Where parts go.
        clip: What the frames come from.
        crf: The encoder's constant rate factor: 0 loses nothing, 16 nothing to be seen, 51 most.
    """

    def __init__(self, segments: Segments, clip: Clip, crf: int) -> None:
        self.segments, self.clip, self.crf = segments, clip, crf
        self._frame_of = FromRgb(clip.colours)
        self._part: _Part | None = None

    def add(self, pixels: Pixels, pts: int) -> None:
        """Encode a frame, (H, W, 3) RGB; a part is written when it is full.

        Raises:
            VideoError: If the encoder fails.
            OSError: If the part cannot be written.
        """
        with naming(self.segments.folder):
            if self._part is None:
                self._part = _Part(self.clip, pixels.shape[1], pixels.shape[0], self.crf)
            frame = self._frame_of(pixels)
            frame.pts, frame.time_base = pts, self.clip.time_base
            self._part.add(frame)
        if self._part.frames == self.segments.length:
            self.finish()

    def finish(self) -> None:
        """Write the part that is begun."""
        if self._part is not None:
            with naming(self.segments.folder):
                content = self._part.content()
            self.segments.add(content)
            self._part = None


class _Part:
    def __init__(self, clip: Clip, width: int, height: int, crf: int) -> None:
        self.frames = 0
        self._stream = BytesIO()
        self._container = av.open(self._stream, "w", format=FORMAT)
        options = {**ENCODER, "crf": str(crf)}
        self._video = stream = self._container.add_stream(CODEC, rate=clip.rate, options=options)
        stream.width, stream.height = width, height
        stream.pix_fmt = clip.colours.written
        codec: Any = stream.codec_context
        codec.time_base, codec.sample_aspect_ratio = clip.time_base, clip.aspect
        codec.flags |= Flags.global_header
        clip.colours.tag(codec)

    def add(self, frame: VideoFrame) -> None:
        self._container.mux(self._video.encode(frame))
        self.frames += 1

    def content(self) -> bytes:
        self._container.mux(self._video.encode())
        self._container.close()
        return self._stream.getvalue()


def packets_of(path: Path) -> list[Packet]:
    """Return the frames of a part as they are encoded."""
    with naming(path), av.open(str(path), format=FORMAT) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def fitting(clip: Clip, suffix: str) -> tuple[list[int], list[str]]:
    """Tell which other streams a result can hold.

    Returns:
        Their indices, and a note for each subtitle that cannot be held.

    Raises:
        RequestError: If it cannot hold the sound.
    """
    kept, notes = [], []
    with clip.others() as (streams, _):
        for stream in streams:
            if _holds(suffix, stream):
                kept.append(stream.index)
                continue
            name = stream.codec_context.name if stream.codec_context else "an unknown kind"
            if stream.type == "audio":
                raise RequestError(f"{suffix} cannot hold sound of the kind {name}: take .mkv")
            notes.append(f"left out, as {suffix} cannot hold it: subtitles of the kind {name}")
    return kept, notes


def _holds(suffix: str, stream: Any) -> bool:
    try:
        with av.open(BytesIO(), "w", format=VIDEO_FORMATS[suffix]) as container:
            container.add_stream_from_template(stream)
            container.start_encoding()
    except (FFmpegError, ValueError):
        return False
    return True


def join(parts: Sequence[Path], clip: Clip, out: Path, others: Sequence[int]) -> None:
    """Write the result: frames of all parts, the other streams as they were.

    Args:
        parts: In their order.
        clip: The source.
        out: The result; it is there only when it is whole.
        others: Indices of the source's streams to keep.

    Raises:
        VideoError, OSError: If it cannot be written.
    """
    suffix = out.suffix.lower()
    options = {}
    if suffix != ".mkv":  # else a first date that is no whole millisecond would be rounded
        options["movie_timescale"] = str(min(clip.time_base.denominator, 1 << 30))
    with ExitStack() as stack:
        new = stack.enter_context(staged_file(out))
        stack.enter_context(naming(out))
        streams, packets = stack.enter_context(clip.others())
        first = stack.enter_context(av.open(str(parts[0]), format=FORMAT))
        writer = av.open(str(new), "w", format=VIDEO_FORMATS[suffix], container_options=options)
        container = stack.enter_context(writer)
        container.metadata.update(clip.titles)
        video: Any = container.add_stream_from_template(first.streams.video[0])
        video.time_base = clip.time_base
        if clip.rotation:
            video.set_display_matrix(clip.rotation)
        targets = {
            stream.index: _like(container, stream) for stream in streams if stream.index in others
        }
        sound = (p for p in packets if p.stream_index in targets)
        for packet in merge(_dated(parts), sound, key=_seconds):
            # Packets of parts are of streams that are gone.
            packet.stream = targets[packet.stream_index] if packet.stream in streams else video
            container.mux(packet)


def _like(container: Any, stream: Any) -> Any:
    target = container.add_stream_from_template(stream)
    target.metadata.update(stream.metadata)
    target.disposition = stream.disposition
    return target


def _seconds(packet: Packet) -> float:
    date = packet.pts if packet.dts is None else packet.dts
    return float((date or 0) * (packet.time_base or 0))


def _dated(parts: Sequence[Path]) -> Iterator[Packet]:
    """Yield the frames of all parts, each as long as it takes to the next."""
    last: Packet | None = None
    for path in parts:
        for packet in packets_of(path):
            if last is not None:
                assert packet.pts is not None
                assert last.pts is not None
                if last.time_base == packet.time_base:
                    last.duration = packet.pts - last.pts
                yield last
            last = packet
    if last is None:
        raise ImageError("no frame could be decoded")
    yield last
