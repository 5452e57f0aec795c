"""One call of the network, for images of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.machine import available_bytes
from smsr_plugin.runtime import Inferred
from smsr_plugin.upscaling.dial import Dial
from smsr_plugin.upscaling.errors import RequestError
from smsr_plugin.upscaling.luma import joined, luma_and_chroma
from smsr_plugin.upscaling.memory import IN_BANDS, SHARE, TILES, WHOLE, is_shortage, result_bytes
from smsr_plugin.upscaling.tiles import OVERLAP, Span, grid, smallest_tile

if TYPE_CHECKING:
    from smsr_plugin.archs.masked import MaskedNetwork

#: (3, H, W) RGB, 0…1.
Image = NDArray[np.float32]
#: Called with how many tiles are done, and with their number.
Progress = Callable[[int, int], None]


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


@runtime_checkable
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
        net: A network with masks, or a model, whose options are its own; for RGB, or for luma as
            BasicSR's `color: y` has it (see `luma`).
        precision: "fp32" or "bf16"; the oracle knows fp32 only.
        threshold: A pixel is important where logit 1 − logit 0 exceeds this.
        density: The share of pixels to compute, 0…1; see `MaskedNetwork.set_density`.
        dense: Compute every pixel and mask afterwards, in plain PyTorch: the oracle.
        tile: Side of the tiles that lq images are cut into. 0: never. None: as the size of the
            image asks for, `memory.TILES` beyond `memory.WHOLE`, or `memory.IN_BANDS`; smaller only
            if that needs more than `memory.SHARE` of the memory that is available now.
        overlap: Pixels that neighbouring tiles share.
        dial: Gives the network for each image in place of `net`, which tells its shape.

    Raises:
        RequestError: If the options do not fit together, or the network is neither for RGB nor
            for luma.
    """

    def __init__(
        self,
        net: MaskedNetwork | Model,
        *,
        precision: str = "fp32",
        threshold: float = 0.0,
        density: float | None = None,
        dense: bool = False,
        tile: int | None = None,
        overlap: int = OVERLAP,
        dial: Dial | None = None,
    ) -> None:
        if isinstance(net, Model):
            self.model = net
        else:
            from smsr_plugin.upscaling.pytorch import (
                PyTorchModel,  # the runtime does without PyTorch
            )

            self.model = PyTorchModel(net, precision, threshold, density, dense)
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

        Channel attention pools over what the network sees at once: the result in tiles differs
        from that of the image as a whole.

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
