"""From picture to larger picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.picture import Picture
from smsr_plugin.images.pixels import from_unit, to_unit
from smsr_plugin.upscaling.channels import filled_colour, keep_flat
from smsr_plugin.upscaling.network import Image, Network, NetworkRun, Progress, result_bytes

#: Colour (H, W, C) or opacity (H, W).
Unit = NDArray[np.float32]


@dataclass(frozen=True)
class Upscaled:
    """A larger picture, and how it came about.

    Attributes:
        picture: The result, in the dtype and with the channels and metadata of the input.
        lq: (H, W, 3) uint8, the image that the network saw, to lay masks over.
        run: The network's run on colour; its `sr` is that before resizing.
    """

    picture: Picture
    lq: NDArray[np.uint8]
    run: NetworkRun


class Enlarged(NamedTuple):
    """An image in about 0…1, not clamped, and how it came about; see `Upscaled`."""

    colour: Unit  #: (H, W, C)
    alpha: Unit | None  #: (H, W)
    lq: Image  #: (3, H, W), what the network saw
    run: NetworkRun


class Enlarger:
    """Enlarges pictures with a network.

    Grey is run as RGB and comes back as grey. Opacity is run through the network as a grey image
    of its own; where nothing can be seen, colours flow in from what can.

    Args:
        network: What computes.
        outscale: Width and height of the result in those of the input; by default the network's
            own scale. For others its result is resized with Pillow's Lanczos filter.
    """

    def __init__(self, network: Network, outscale: float | None = None) -> None:
        self.network = network
        self.outscale = outscale or float(network.upscale)

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the result for those of a picture."""
        return max(1, round(width * self.outscale)), max(1, round(height * self.outscale))

    def __call__(self, picture: Picture, progress: Progress = lambda done, tiles: None) -> Upscaled:
        """Enlarge a picture.

        Raises:
            ImageError: If the result would not fit into memory.
        """
        alpha = None if picture.alpha is None else to_unit(picture.alpha)
        colour, alpha, lq, run = self.enlarged(to_unit(picture.colour), alpha, progress)
        larger = replace(picture, colour=from_unit(colour, picture.dtype))
        if alpha is not None:
            larger = replace(larger, alpha=from_unit(alpha, picture.dtype))
        seen = from_unit(lq.transpose(1, 2, 0), np.dtype(np.uint8)).astype(np.uint8, copy=False)
        return Upscaled(larger, seen, run)

    def enlarged(
        self, colour: Unit, alpha: Unit | None, progress: Progress = lambda done, tiles: None
    ) -> Enlarged:
        """Enlarge an image in 0…1.

        Args:
            colour: (H, W, 3) RGB or (H, W, 1) grey.
            alpha: (H, W) opacity, None if opaque.
            progress: Called on the way.

        Raises:
            ImageError: If the result would not fit into memory.
        """
        height, width = colour.shape[:2]
        self._check_memory(width, height)
        if alpha is not None:
            colour = filled_colour(colour, alpha)
        lq = _rgb(colour)
        run = self.network(lq, progress)
        sr = self._resized(run.sr, (width, height))
        if colour.shape[2] == 1:
            sr = sr.mean(0, keepdims=True)
        opacity = None if alpha is None else self._opacity(alpha)
        return Enlarged(sr.transpose(1, 2, 0), opacity, lq, run)

    def _opacity(self, alpha: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = alpha.shape
        if alpha.min() == alpha.max():
            return np.full(self.size_of(width, height)[::-1], alpha[0, 0], np.float32)
        sr = self.network(_rgb(alpha[..., None])).sr.mean(0)
        return self._resized(keep_flat(sr, alpha)[None], (width, height))[0]

    def _resized(self, sr: Image, lq_size: tuple[int, int]) -> Image:
        """Bring (C, H, W) to the size of the result."""
        size = self.size_of(*lq_size)
        if sr.shape[:0:-1] == size:
            return sr
        channels = [PillowImage.fromarray(channel) for channel in np.clip(sr, 0, 1)]
        lanczos = PillowImage.Resampling.LANCZOS
        return np.stack([np.asarray(channel.resize(size, lanczos)) for channel in channels])

    def bytes_of(self, width: int, height: int) -> int:
        """Return what the result for a picture of that size needs, while it is made."""
        native = self.network.upscale * width, self.network.upscale * height
        size = self.size_of(width, height)
        pixels = size[0] * size[1]
        if size != native:  # both are there while it is resized
            pixels += native[0] * native[1]
        return result_bytes(pixels)

    def _check_memory(self, width: int, height: int) -> None:
        needed = self.bytes_of(width, height)
        if needed > self.network.memory:
            result_width, result_height = self.size_of(width, height)
            raise ImageError(
                f"the result, {result_width}×{result_height}, takes {needed / 2**30:.1f} GiB of "
                f"memory; {self.network.memory / 2**30:.1f} GiB can be used"
            )


def _rgb(unit: NDArray[np.float32]) -> Image:
    """Return (H, W, 1) or (H, W, 3) as (3, H, W)."""
    channels = unit.transpose(2, 0, 1)
    return np.array(np.broadcast_to(channels, (3, *channels.shape[1:])), order="C")
