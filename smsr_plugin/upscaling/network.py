"""One call of the network, for images of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.machine import available_bytes
from smsr_plugin.runtime import Inferred
from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling.channels import joined, luma_and_chroma
from smsr_plugin.upscaling.tiles import OVERLAP, Span, grid, smallest_tile

if TYPE_CHECKING:
    from smsr_plugin.upscaling.loading import Dial

#: (3, H, W) RGB, 0…1.
Image = NDArray[np.float32]
#: Called with how many tiles are done, and with their number.
Progress = Callable[[int, int], None]

#: The share of the memory available at the start that one run of the network may take.
SHARE = 0.6
#: Up to so many lq pixels an image is run as a whole, or in bands, which take less memory and
#: change nothing; a larger one in tiles of the first of these sides: by its size alone, so that the
#: same image gives the same result on every machine. The smaller sides are for machines whose
#: memory does not suffice for that.
WHOLE = 1 << 20
IN_BANDS = 1 << 21
TILES = (512, 256, 128)


@dataclass(frozen=True)
class NetworkRun:
    """What the network made of an image.

    Attributes:
        sr: (3, H·s, W·s), about 0…1, not clamped.
        spa_mask: (K, H, W) bool, the important pixels of each block.
        macs: Multiply-adds that were computed, in all tiles.
        macs_dense: Multiply-adds of the whole image if every pixel and channel were computed.
        tiles: The number of tiles; 1 for the image as a whole.
        short: Memory did not suffice for the tiles that the size of the image asks for.
    """

    sr: Image
    spa_mask: NDArray[np.bool_]
    macs: float
    macs_dense: float
    tiles: int
    short: bool = False


class Model(Protocol):
    """What infers an image: `Runtime`, `pytorch.PyTorchModel`, or an engine of another library.

    Attributes:
        num_in_ch, num_out_ch: Channels of the lq image and of sr.
        upscale: How many times sr is larger.
        num_masks: K.
        has_bands: Whether large images are computed in bands, which need less memory.
    """

    num_in_ch: int
    num_out_ch: int
    upscale: int
    num_masks: int

    @property
    def has_bands(self) -> bool: ...

    def bytes_needed(self, height: int, width: int) -> int:
        """Return what a run of an lq image takes if every pixel is important."""
        ...

    def __call__(self, lq: Image) -> Inferred:
        """Super-resolve an image, (num_in_ch, H, W), 0…1."""
        ...

    def dense_macs(self, pixels: int) -> int:
        """Return the multiply-adds of an image if every pixel and channel were computed."""
        ...


class Network:
    """A network ready to enlarge images of any size.

    Args:
        model: What infers; for RGB, or for luma as BasicSR's `color: y` has it (see `channels`).
        tile: Side of the tiles that lq images are cut into. 0: never. None: as the size of the
            image asks for, `TILES` beyond `WHOLE`, or `IN_BANDS`; smaller only if that needs more
            than `SHARE` of the memory that is available now.
        overlap: Pixels that neighbouring tiles share.
        dial: Gives the model for each image in place of `model`, which tells its shape.

    Raises:
        RequestError: If the tiles cannot overlap by so much, or the network is neither for RGB nor
            for luma.
    """

    def __init__(
        self,
        model: Model,
        *,
        tile: int | None = None,
        overlap: int = OVERLAP,
        dial: Dial | None = None,
    ) -> None:
        self.model = model
        self.upscale, self.tile, self.overlap, self.dial = self.model.upscale, tile, overlap, dial
        channels = self.model.num_in_ch, self.model.num_out_ch
        if channels not in ((3, 3), (1, 1)):
            raise RequestError(
                f"the network is for {channels[0]} channels and returns {channels[1]}: images "
                "need one for RGB or for luma"
            )
        if tile and tile < smallest_tile(overlap):
            raise RequestError(
                f"tiles of {tile} cannot overlap by {overlap}: "
                f"they must be at least {smallest_tile(overlap)}"
            )
        # Taken once: what one image leaves allocated must not change how the next one is cut.
        self.memory = int(SHARE * available_bytes())

    def tiles_for(self, height: int, width: int) -> list[int]:
        """Return sides of tiles for an lq image of that size, the one to try first first.

        0 stands for the image as a whole. Sides for which memory does not suffice are left out, as
        long as one remains.
        """
        sides = self._sides(height, width)
        left = self.memory - result_bytes(self.upscale**2 * height * width)

        def needed(side: int) -> int:
            return self.model.bytes_needed(min(side or height, height), min(side or width, width))

        return [side for side in sides if needed(side) <= left] or sides[-1:]

    def _sides(self, height: int, width: int) -> list[int]:
        if self.tile is not None:
            return [self.tile]
        least = smallest_tile(self.overlap)
        sides = [0] if height * width <= (IN_BANDS if self.model.has_bands else WHOLE) else []
        return sides + ([side for side in TILES if side >= least] or [least])

    def __call__(self, lq: Image, progress: Progress = lambda done, tiles: None) -> NetworkRun:
        """Super-resolve an image.

        Channel attention pools over what the network sees at once, and scores of tiles are relative
        to it: the result in tiles differs from that of the image as a whole.

        Raises:
            MemoryError, RuntimeError: If memory does not suffice for the smallest tiles either.
        """
        first, *smaller = self.tiles_for(*lq.shape[1:])
        usual = self._sides(*lq.shape[1:])[0]
        while True:
            try:
                run = self._tiled(lq, first, progress)
                return replace(run, short=first != usual)
            except (MemoryError, RuntimeError) as error:
                if not smaller or not is_shortage(error):
                    raise
                first, *smaller = smaller

    def _tiled(self, lq: Image, tile: int, progress: Progress) -> NetworkRun:
        """Super-resolve an image in tiles of a side, 0 for none."""
        height, width = lq.shape[1:]
        dense = self.model.dense_macs(height * width)
        if not tile or tile >= max(height, width):
            self._turn(height * width)
            progress(0, 1)
            return NetworkRun(*self._run(lq), dense, 1)
        scale, macs = self.upscale, 0.0
        sr = np.zeros((3, height * scale, width * scale), np.float32)
        spa_mask = np.zeros((self.model.num_masks, height, width), np.bool_)
        tiles = list(grid(height, width, tile, self.overlap))
        self._turn(sum((y.stop - y.start) * (x.stop - x.start) for y, x in tiles))
        for number, (rows, columns) in enumerate(tiles):
            progress(number, len(tiles))
            part, mask, cost = self._run(lq[:, rows.covered, columns.covered])
            _blend(sr, part, rows.scaled(scale), columns.scaled(scale))
            inner = np.s_[:, rows.own_within, columns.own_within]
            spa_mask[:, rows.own, columns.own] = mask[inner]
            macs += cost
        return NetworkRun(sr, spa_mask, macs, dense, len(tiles))

    def _turn(self, pixels: int) -> None:
        """Take the network that computes so many lq pixels in the time allowed, if any is."""
        if self.dial is not None:
            self.model = self.dial.at(pixels)

    def _run(self, lq: Image) -> Inferred:
        """Return sr, the masks and the multiply-adds of one image or tile, (3, H, W)."""
        if self.model.num_in_ch == 3:
            return self.model(lq)
        luma, chroma = luma_and_chroma(lq)
        found = self.model(luma)
        return found._replace(sr=joined(found.sr, chroma))


def _blend(sr: Image, part: Image, rows: Span, columns: Span) -> None:
    """Add a tile's share to the image."""
    weights = rows.weights()[:, None] * columns.weights()
    sr[:, rows.covered, columns.covered] += part * weights


def is_shortage(error: BaseException) -> bool:
    """Tell whether an error says that memory is short; PyTorch says so by a RuntimeError."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("allocate" in text or "bad_alloc" in text)
    )


def result_bytes(pixels: int) -> int:
    """Return what so many pixels of a result need.

    Three channels in float32, again while they are resized or rounded, and as integers.
    """
    return pixels * 3 * (4 + 4 + 2)
