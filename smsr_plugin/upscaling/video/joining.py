"""From parts, and the sound of the source, to the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from heapq import merge
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from av import Packet
from av.error import FFmpegError

from smsr_plugin.images.errors import ImageError
from smsr_plugin.staging import staged_file
from smsr_plugin.upscaling.errors import RequestError
from smsr_plugin.upscaling.video.clip import Clip, naming
from smsr_plugin.upscaling.video.names import FORMATS
from smsr_plugin.upscaling.video.segments import FORMAT, packets_of


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
        with av.open(BytesIO(), "w", format=FORMATS[suffix]) as container:
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
        writer = av.open(str(new), "w", format=FORMATS[suffix], container_options=options)
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
