"""A video from file to file: decoded, computed and encoded at once; resumed if it was killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from smsr_plugin.images.pixels import Pixels, from_unit, to_unit
from smsr_plugin.upscaling.enlarger import Enlarger
from smsr_plugin.upscaling.overlap import overlapped
from smsr_plugin.upscaling.video.clip import Clip, check_has_no_twin
from smsr_plugin.upscaling.video.colour import ToRgb
from smsr_plugin.upscaling.video.segments import LENGTH, Encoder, Segments, fitting, join

#: The encoder's constant rate factor.
CRF = 16
#: Called with how many frames are done.
VideoProgress = Callable[[int], None]


@dataclass(frozen=True)
class VideoOutcome:
    """What became of a video.

    Attributes:
        frames: Frames of the result.
        resumed: Of them, those that an earlier run had made.
        size: Width and height of the result.
        density: Share of important pixels, mean of the blocks and of this run's frames.
        seconds: That this run took.
    """

    frames: int
    resumed: int
    size: tuple[int, int]
    density: float | None
    seconds: float


class VideoUpscaler:
    """Enlarges one video; what is wrong with the request is found before anything is computed.

    Args:
        clip: The source.
        out: The result: .mp4, .m4v, .mov or .mkv, H.264.
        enlarger: Of frames.
        crf: See `Encoder`.
        length: Frames of a part; see `Segments`.

    Raises:
        RequestError: If the result would replace the source, or cannot hold its sound.
    """

    def __init__(
        self, clip: Clip, out: Path, enlarger: Enlarger, crf: int = CRF, length: int = LENGTH
    ) -> None:
        check_has_no_twin(clip, out)
        self.clip, self.out, self.enlarger = clip, out, enlarger
        self.crf, self.length = crf, length
        self.others, notes = fitting(clip, out.suffix.lower())
        width, height = enlarger.size_of(clip.width, clip.height)
        # A value of chroma stands for two pixels each way.
        self.size = max(2, width - width % 2), max(2, height - height % 2)
        if self.size != (width, height):
            notes.append(f"cut from {width}×{height} to {self.size[0]}×{self.size[1]}: H.264 "
                         "holds even sides only")  # fmt: skip
        if clip.interlaced:
            notes.append(
                "interlaced: the two fields of a frame are enlarged as one; deinterlace first"
            )
        if clip.has_alpha:
            notes.append("transparency is left out")
        self.notes = notes

    def run(self, made_of: str, progress: VideoProgress = lambda done: None) -> VideoOutcome:
        """Enlarge what an earlier run with the same text has not; see `Segments`.

        Raises:
            VideoError: If the source is damaged, or the result cannot be encoded.
            ImageError: If a frame cannot be enlarged.
            OSError: If a file cannot be written.
        """
        start = time.perf_counter()
        segments = Segments(self.out, f"{made_of}\ncrf {self.crf}\n", self.length)
        resumed, last = segments.done(self.clip.time_base)
        progress(resumed)
        encoder = Encoder(segments, self.clip, self.crf)

        def write(made: _Made) -> float:
            encoder.add(made.pixels, made.pts)
            return made.density

        number, densities = resumed, 0.0
        for density in overlapped(self._loaded(last), self._work, write):
            number, densities = number + 1, densities + density
            progress(number)
        encoder.finish()
        join(segments.files(), self.clip, self.out, self.others)
        segments.remove()
        mean = densities / (number - resumed) if number > resumed else None
        return VideoOutcome(number, resumed, self.size, mean, time.perf_counter() - start)

    def _loaded(self, last: int | None) -> Iterator[_Loaded]:
        to_rgb = ToRgb(self.clip.colours)
        for frame in self.clip.decoded(last):
            assert frame.pts is not None
            yield _Loaded(to_rgb(frame), frame.pts)

    def _work(self, loaded: _Loaded) -> _Made:
        width, height = self.size
        found = self.enlarger.enlarged(to_unit(loaded.pixels), None)
        pixels = from_unit(found.colour[:height, :width], loaded.pixels.dtype)
        return _Made(pixels, loaded.pts, float(found.run.spa_mask.mean()))


class _Loaded(NamedTuple):
    pixels: Pixels
    pts: int


class _Made(NamedTuple):
    pixels: Pixels
    pts: int
    density: float
