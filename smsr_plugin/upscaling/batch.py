"""Many images; what goes wrong with one does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from smsr_plugin.images.errors import SHORTAGE, ImageError
from smsr_plugin.images.mask_overlay import mask_overlay
from smsr_plugin.images.picture import Picture
from smsr_plugin.images.reading import read_picture
from smsr_plugin.images.writing import QUALITY, check_size, write_picture
from smsr_plugin.staging import sweep_temporary
from smsr_plugin.upscaling.enlarger import Enlarger, Upscaled
from smsr_plugin.upscaling.inputs import Job
from smsr_plugin.upscaling.network import NetworkRun, is_shortage
from smsr_plugin.upscaling.overlap import overlapped

#: An image whose result needs more than this share of the memory has it to itself.
ALONE = 0.5
#: What is one image's fault; where memory is short, the next image may be smaller.
FAULTS = (ImageError, MemoryError)
#: Called with the source, and how many of its tiles are done.
BatchProgress = Callable[[Path, int, int], None]


class State(Enum):
    """How it went with one image."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Attributes:
        job: The image.
        state: How it went.
        error: Why it failed.
        notes: What was changed or left out.
        lq_size, size: Width and height before and after.
        density: Share of important pixels, mean of the blocks.
        kept: Share of the dense network's multiply-adds that was computed; overlaps of tiles
            count each time.
        tiles: Into how many the image was cut; 1: not at all.
        seconds: That reading, computing and writing took; those of other images overlap them.
    """

    job: Job
    state: State
    error: str = ""
    notes: tuple[str, ...] = ()
    lq_size: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    density: float | None = None
    kept: float | None = None
    tiles: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class _Loaded:
    job: Job
    picture: Picture
    seconds: float


@dataclass(frozen=True)
class _Made:
    job: Job
    lq_size: tuple[int, int]
    upscaled: Upscaled
    seconds: float


@dataclass(frozen=True)
class Batch:
    """How to run over images.

    Attributes:
        enlarger: Of one.
        skip_existing: Leave out images all of whose results are there.
        max_pixels: Refuse larger images; see `read_picture`.
        quality: Of JPEG and WebP.
    """

    enlarger: Enlarger
    skip_existing: bool = False
    max_pixels: int | None = None
    quality: int = QUALITY

    def run(
        self,
        jobs: Sequence[Job],
        progress: BatchProgress = lambda source, done, tiles: None,
        outcomes: list[Outcome] | None = None,
    ) -> Generator[Outcome, None, None]:
        """Do the jobs in turn and yield what became of each.

        The next image is read and the last one written meanwhile, except beside one whose result
        takes much of the memory.

        Args:
            jobs: The images.
            progress: Called on the way.
            outcomes: Gets them as well, also those that are written and not yielded because the
                caller is interrupted and closes this.
        """

        def work(loaded: _Loaded | Outcome) -> _Made | Outcome:
            return self._work(loaded, progress)

        def write(made: _Made | Outcome) -> Outcome:
            outcome = self._write(made)
            if outcomes is not None:
                outcomes.append(outcome)
            return outcome

        yield from overlapped(map(self._read, jobs), work, write, self._alone)

    def _alone(self, loaded: _Loaded | Outcome) -> bool:
        if isinstance(loaded, Outcome):
            return False
        enlarger = self.enlarger
        return enlarger.bytes_of(*loaded.picture.size) > ALONE * enlarger.network.memory

    def _read(self, job: Job) -> _Loaded | Outcome:
        if self.skip_existing and all(output.exists() for output in job.outputs):
            return Outcome(job, State.SKIPPED)
        start = time.perf_counter()
        try:
            picture = read_picture(job.source, self.max_pixels)
        except FAULTS as error:
            return _failed(job, error)
        return _Loaded(job, picture, time.perf_counter() - start)

    def _work(self, loaded: _Loaded | Outcome, progress: BatchProgress) -> _Made | Outcome:
        if isinstance(loaded, Outcome):
            return loaded
        job, picture = loaded.job, loaded.picture
        start = time.perf_counter()
        try:
            check_size(job.target, *self.enlarger.size_of(*picture.size))
            upscaled = self._upscaled(picture, lambda *tiles: progress(job.source, *tiles))
        except FAULTS as error:
            return _failed(job, error)
        return _Made(job, picture.size, upscaled, loaded.seconds + time.perf_counter() - start)

    def _write(self, made: _Made | Outcome) -> Outcome:
        if isinstance(made, Outcome):
            return made
        job, run = made.job, made.upscaled.run
        start = time.perf_counter()
        try:
            if job.masks is not None:
                write_picture(Picture(mask_overlay(made.upscaled.lq, run.spa_mask)), job.masks)
            written = write_picture(made.upscaled.picture, job.target, self.quality)
        except FAULTS as error:
            return _failed(job, error)
        return Outcome(
            job,
            State.DONE,
            notes=written.notes + _tiling(run),
            lq_size=made.lq_size,
            size=written.size,
            density=float(run.spa_mask.mean()),
            kept=run.macs / run.macs_dense,
            tiles=run.tiles,
            seconds=made.seconds + time.perf_counter() - start,
        )

    def _upscaled(self, picture: Picture, progress: Callable[[int, int], None]) -> Upscaled:
        try:
            return self.enlarger(picture, progress)
        except (MemoryError, RuntimeError) as error:
            if not is_shortage(error):
                raise
            advice = "" if self.enlarger.network.tile is None else ": try smaller tiles"
            raise ImageError(f"{SHORTAGE}{advice}") from error


def _failed(job: Job, error: Exception) -> Outcome:
    return Outcome(job, State.FAILED, str(error) if isinstance(error, ImageError) else SHORTAGE)


def sweep(jobs: Sequence[Job]) -> None:
    """Remove what killed runs were writing where results go; others' files are left alone."""
    for folder in {output.parent for job in jobs for output in job.outputs}:
        with suppress(OSError):  # whatever is wrong with the folder, writing will say
            sweep_temporary(folder)


def _tiling(run: NetworkRun) -> tuple[str, ...]:
    """Return a note on tiles that are not those of other machines."""
    if not run.short:
        return ()
    return (f"cut into {run.tiles} smaller tiles for want of memory, which changes the result",)
