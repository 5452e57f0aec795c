"""Images as other people's code has them: of Pillow, arrays, files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from smsr_plugin.archs.checks import check_brightest
from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.pillow import from_pillow, to_pillow
from smsr_plugin.images.pixels import from_unit, to_unit
from smsr_plugin.images.reading import read_picture
from smsr_plugin.images.writing import QUALITY, write_picture
from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling.enlarger import Enlarger
from smsr_plugin.upscaling.loading import load_network
from smsr_plugin.upscaling.tiles import OVERLAP

#: What an image may be; the result is of the same kind.
AnyImage = TypeVar("AnyImage", PillowImage.Image, NDArray[Any], str, Path)

#: By how many channels an array has, whether the last of them is opacity.
CHANNELS = {1: False, 2: True, 3: False, 4: True}


class Upscaler:
    """Enlarges images, one after the other.

    Without PyTorch for the package's weights and those of `smsr convert`, where the native kernels
    are there; see `smsr_plugin.Runtime`.

    Args:
        weights: A file. None: that of the environment variable SMSR_WEIGHTS, else the package's.
        scale: What the network must enlarge by; 2 by default where the package's are taken.
        model: In place of a file, which of the package's networks: "smsr", "rlfn-s"
            (default at x2), or "rlfn" (default at x4).
        outscale: Width and height of results in those of images, any factor above 0; by default
            the network's own.
        density: The share of pixels to compute, 0…1; less is faster. By default what the network
            was trained for.
        budget: Seconds that computing an image may take, in place of a density: that is chosen for
            each image, from 0.2 to 1, by what a pixel was measured to take on this machine.
        threshold: For networks that keep no curves of their densities: above 0 computes less.
        precision: "fp32"; "bf16", faster where there are bfloat16 instructions; "int8", 8 bits
            inside the blocks of an SMSR whose file has peaks (`smsr convert --calibrate`), where
            there is AMX.
        threads: How many compute; by default one for each core.
        tile: Side of the tiles that images are cut into, 0 never; by default 512 for images of more
            than two megapixels, or one where there are no bands (docs/upscaling.md).
        overlap: Pixels that neighbouring tiles share.

    Raises:
        CheckpointError: If the file cannot be read, or is for another scale.
        ValueError: If an option is out of range, or "int8" is asked of what does not run in it.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        scale: int | None = None,
        *,
        model: str | None = None,
        outscale: float | None = None,
        density: float | None = None,
        budget: float | None = None,
        threshold: float = 0.0,
        precision: str = "fp32",
        threads: int | None = None,
        tile: int | None = None,
        overlap: int = OVERLAP,
    ) -> None:
        if outscale is not None and not 0 < outscale < float("inf"):
            raise RequestError(f"outscale must be a number above 0, got {outscale}")
        network = load_network(
            weights,
            model=model,
            scale=scale,
            outscale=outscale,
            density=density,
            budget=budget,
            threshold=threshold,
            precision=precision,
            threads=threads,
            tile=tile,
            overlap=overlap,
        )
        self._enlarger = Enlarger(network, outscale)

    def __call__(self, image: AnyImage, out: str | os.PathLike[str] | None = None) -> AnyImage:
        """Enlarge an image.

        Args:
            image: An image of Pillow: turned upright; with profile and EXIF data, as of a file.
                An array (H, W) or (H, W, C), the channels grey, grey and opacity, RGB, or RGB and
                opacity: uint8, uint16, or float32 or float64 in 0…1.
                A path: see `docs/upscaling.md` for what is read and what is kept.
            out: The result's path, where `image` is one; its suffix names the format. The file is
                there only when it is whole.

        Returns:
            The same kind: a Pillow image of mode L, LA, RGB, RGBA or I;16; an array with the same
            dtype and axes, floats within 0…1; or the path of the result.

        Raises:
            TypeError: If it is none of these.
            ValueError: If an array's shape or values do not fit, or a path comes without `out`.
            ImageError: A ValueError too, if a file or an image of Pillow cannot be read, the result
                written, or memory does not suffice.
        """
        if isinstance(image, PillowImage.Image):
            self._check_no_out(out)
            return cast(AnyImage, to_pillow(self._enlarger(from_pillow(image)).picture))
        if isinstance(image, np.ndarray):
            self._check_no_out(out)
            return cast(AnyImage, self._array(image))
        if isinstance(image, str | os.PathLike):
            if out is None:
                raise ValueError(f"say where the result of {image} goes: out=PATH")
            result = self._enlarger(read_picture(Path(image))).picture
            write_picture(result, Path(out), QUALITY)
            return cast(AnyImage, type(image)(out))
        raise TypeError(
            f"expected a Pillow image, a NumPy array or a path, got {type(image).__module__}."
            f"{type(image).__name__}"
        )

    @staticmethod
    def _check_no_out(out: object) -> None:
        if out is not None:
            raise ValueError("out is for an image that is a path; this result is returned")

    def _array(self, image: NDArray[Any]) -> NDArray[Any]:
        pixels = image[..., None] if image.ndim == 2 else image
        if pixels.ndim != 3 or pixels.shape[2] not in CHANNELS or 0 in pixels.shape:
            raise ValueError(
                f"expected an array (H, W) or (H, W, C) with 1 to 4 channels, got {image.shape}"
            )
        unit = _unit(pixels)
        has_alpha = CHANNELS[pixels.shape[2]]
        colour = unit[..., :-1] if has_alpha else unit
        found = self._enlarger.enlarged(colour, unit[..., -1] if has_alpha else None)
        parts = [found.colour] if found.alpha is None else [found.colour, found.alpha]
        larger = np.dstack(parts)
        if image.dtype.kind == "f":
            larger = np.clip(larger, 0, 1).astype(image.dtype, copy=False)
        else:
            larger = from_unit(larger, image.dtype)
        return larger[..., 0] if image.ndim == 2 else larger


def upscale(
    image: AnyImage,
    weights: str | os.PathLike[str] | None = None,
    scale: int | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    **options: Any,
) -> AnyImage:
    """Enlarge one image; `Upscaler`, which has the same options, for many.

    Args:
        image, out: As of a call of `Upscaler`.
        weights, scale, options: As of `Upscaler` itself.
    """
    return Upscaler(weights, scale, **options)(image, out)


def _unit(pixels: NDArray[Any]) -> NDArray[np.float32]:
    if pixels.dtype in (np.uint8, np.uint16):
        return to_unit(pixels)
    if pixels.dtype not in (np.float32, np.float64):
        raise TypeError(f"expected uint8, uint16, float32 or float64, got {pixels.dtype}")
    if not np.isfinite(pixels).all():
        raise ImageError("expected values in 0…1, got NaN or infinity")
    check_brightest("upscale", float(pixels.max()))
    return pixels.astype(np.float32, copy=False)
