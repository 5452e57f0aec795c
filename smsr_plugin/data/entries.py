"""What one HR image contributes to the LMDBs, and the processes that work it out.

Large images are cut into overlapping sub-images, on BasicSR's grid: small ones load much faster
than whole photographs of which one patch is used.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smsr_plugin.config import UPSCALES
from smsr_plugin.data.lmdb_store import Entry, Shape
from smsr_plugin.data.sources import Source
from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError
from smsr_plugin.images.rgb import encode_png, read_rgb

#: The scale of the HR images themselves, next to those of LR images.
HR_SCALE = 1
#: HR is cut to multiples of this before sub-images are placed, whichever scales are asked for.
#: Sub-images then lie on whole LR pixels, and LMDBs of scales made at different times fit.
ALIGNMENT = math.lcm(*UPSCALES)
#: Of one image, by scale.
Entries = dict[int, list[Entry]]


@dataclass(frozen=True)
class Grid:
    """Where to cut, in pixels.

    Attributes:
        crop_size: Height and width of a sub-image.
        step: Distance from one to the next.
        thresh_size: A remainder at the right or bottom of more than this many pixels gets one
            more sub-image, moved back to end at the border.
    """

    crop_size: int
    step: int
    thresh_size: int = 0

    def __post_init__(self) -> None:
        if self.crop_size < 1 or self.step < 1 or self.thresh_size < 0:
            raise ValueError(
                "crop_size and step must be at least 1 and thresh_size at least 0, got "
                f"{self.crop_size}, {self.step} and {self.thresh_size}"
            )

    def shrunk(self, scale: int) -> Grid:
        """Return the same grid on an image smaller by the scale.

        Raises:
            ValueError: If crop_size or step is not a multiple of the scale.
        """
        for name in ("crop_size", "step"):
            if getattr(self, name) % scale:
                raise ValueError(f"{name} {getattr(self, name)} is not a multiple of scale {scale}")
        # Multiples of the scale exceed thresh_size exactly when they exceed it rounded down.
        return Grid(self.crop_size // scale, self.step // scale, self.thresh_size // scale)

    def starts(self, length: int) -> list[int]:
        """Return the first rows (or columns) of the sub-images along a side of that length.

        Raises:
            ValueError: If the side is shorter than crop_size.
        """
        if length < self.crop_size:
            raise ValueError(f"a side of {length} is shorter than crop_size {self.crop_size}")
        last = length - self.crop_size
        starts = list(range(0, last + 1, self.step))
        if last - starts[-1] > self.thresh_size:
            starts.append(last)
        return starts

    def count(self, height: int, width: int) -> int:
        """Return how many sub-images an image of that size gives."""
        return len(self.starts(height)) * len(self.starts(width))

    def cut(self, image: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """Yield the sub-images (crop_size, crop_size, …) of an image (H, W, …), row by row."""
        for top in self.starts(image.shape[0]):
            for left in self.starts(image.shape[1]):
                yield image[top : top + self.crop_size, left : left + self.crop_size]


def min_hr_size(grid: Grid | None, scales: Sequence[int]) -> int:
    """Return the least height and width of an HR image that gives at least one entry."""
    return math.ceil(grid.crop_size / ALIGNMENT) * ALIGNMENT if grid else max(scales)


def entry_shapes(source: Source, scale: int, grid: Grid | None) -> dict[str, Shape]:
    """Return key and (H, W, C) of the entries that `make_entries` gives for a scale."""
    if grid is None:
        return {source.key: (source.height // scale, source.width // scale, 3)}
    count = grid.count(_aligned(source.height), _aligned(source.width))
    size = grid.crop_size // scale
    return dict.fromkeys(_sub_keys(source.key, count), (size, size, 3))


def make_entries(source: Source, scales: Sequence[int], grid: Grid | None) -> Entries:
    """Read an image, shrink, cut and encode it.

    Args:
        source: The image.
        scales: `HR_SCALE` for the HR image itself, others for LR images.
        grid: The sub-images on HR; None keeps images whole, then HR is not cropped to a multiple
            of the scales.

    Raises:
        DataError: If a file cannot be decoded.
        OSError: If a file cannot be read.
    """
    hr = read_rgb(source.hr)
    if source.reduced != 1:
        size = source.width, source.height
        hr = np.asarray(Image.fromarray(hr).resize(size, Image.Resampling.LANCZOS))
    entries: Entries = {}
    for scale in scales:
        if scale == HR_SCALE:
            image = hr
        elif scale in source.lr:
            image = read_rgb(source.lr[scale])
        else:
            image = downscale(hr, scale)
        pieces = _cut(source, image, scale, grid)
        entries[scale] = [
            (key, encode_png(piece), (piece.shape[0], piece.shape[1], piece.shape[2]))
            for key, piece in pieces
        ]
    return entries


def stream_entries(
    sources: Sequence[Source], scales: Sequence[int], grid: Grid | None, workers: int
) -> Generator[Entries | DataError, None, None]:
    """Yield for each source, in order, its entries, or the error if it cannot be used.

    Only a few images per worker are held in memory. With one worker all is done in this process.

    Raises:
        ChildProcessError: If a worker process is killed.
    """
    work = partial(_entries_or_error, scales=scales, grid=grid)
    workers = min(workers, len(sources))
    if workers == 1:
        yield from map(work, sources)
        return
    pending: deque[Future[Entries | DataError]] = deque()
    # Threads of the caller (progress bars, torch) make "fork" unsafe.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_ctrl_c_to_parent)
    try:
        for source in sources:
            pending.append(pool.submit(work, source))
            if len(pending) > workers + 2:  # each holds an image in pieces, in memory
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a worker process was killed, perhaps for want of memory; try fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _entries_or_error(
    source: Source, scales: Sequence[int], grid: Grid | None
) -> Entries | DataError:
    try:
        return make_entries(source, scales, grid)
    except (DataError, OSError) as error:
        return DataError(str(error))


def _leave_ctrl_c_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cut(
    source: Source, image: NDArray[np.uint8], scale: int, grid: Grid | None
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    if grid is None:
        yield source.key, image
        return
    aligned = image[: _aligned(source.height) // scale, : _aligned(source.width) // scale]
    pieces = list(grid.shrunk(scale).cut(aligned))
    yield from zip(_sub_keys(source.key, len(pieces)), pieces, strict=True)


def _sub_keys(key: str, count: int) -> list[str]:
    return [f"{key}_s{index:03d}" for index in range(1, count + 1)]


def _aligned(size: int) -> int:
    return size - size % ALIGNMENT
