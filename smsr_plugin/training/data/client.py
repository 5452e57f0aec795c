"""From the files and LMDBs of a data set to tensors, by the reader of all commands."""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.utils import rgb2ycbcr
from torch import Tensor
from torchvision.transforms.functional import normalize

from smsr_plugin.data.lmdb_store import META_INFO, open_lmdb, read_entry
from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.files import DataError
from smsr_plugin.images.header import Header
from smsr_plugin.images.pixels import Pixels, to_unit
from smsr_plugin.images.reading import content_of, decode, read_header
from smsr_plugin.names import printable
from smsr_plugin.staging import open_regular

#: The options that name the folder or LMDB of each role.
ROOTS = {"gt": "dataroot_gt", "lq": "dataroot_lq"}
#: From the content of an image, and what errors call it, to (H, W, 3) and what its file says.
Decode = Callable[[bytes, str], tuple[Pixels, Header]]


def decode_any(content: bytes, name: str) -> tuple[Pixels, Header]:
    """Decode an image of any depth to RGB; grey becomes three equal channels, opacity is dropped.

    Raises:
        DataError: If it is none, damaged, or of a kind that is refused.
    """
    try:
        header = read_header(BytesIO(content))
        picture = decode(content)
    except ImageError as error:
        raise DataError(f"{name}: {error}") from error
    colour = picture.colour.repeat(3, 2) if picture.is_grey else picture.colour
    return np.require(colour, requirements=["C", "W"]), header


@dataclass(frozen=True)
class Loaded:
    """An image: how errors call it, its pixels (H, W, 3), upright, and what its file says."""

    name: str
    rgb: Pixels
    header: Header


class ImageClient:
    """Stands for BasicSR's FileClient, and decodes as well.

    Args:
        opt: The options of the data set: `io_backend`, and some of `ROOTS`.
        decode: What decodes.
    """

    def __init__(self, opt: Mapping[str, Any], decode: Decode = decode_any) -> None:
        self._roots = {role: opt[key] for role, key in ROOTS.items() if opt.get(key) is not None}
        self._decode = decode
        self._lmdbs = None
        if opt["io_backend"]["type"] == "lmdb":
            self._lmdbs = {role: open_lmdb(Path(root)) for role, root in self._roots.items()}

    def name(self, path: str, role: str) -> str:
        """Return how errors call an image."""
        if self._lmdbs is None:
            return f"{role} image {printable(path)}"
        return f"{role} image {path!r} of {self._roots[role]}"

    def load(self, path: str, role: str) -> Loaded:
        """Read and decode an image.

        Raises:
            DataError: If it is missing, cut short, damaged, or of a wrong kind.
        """
        name = self.name(path, role)
        return Loaded(name, *self._decode(self._read(path, role, name), name))

    def _read(self, path: str, role: str, name: str) -> bytes:
        if self._lmdbs is None:
            try:
                with open_regular(Path(path)) as file:  # a list of files may name a device
                    return content_of(file)
            except OSError as error:
                raise DataError(f"{name}: cannot be read ({error.strerror})") from error
            except ImageError as error:
                raise DataError(f"{name}: {error}") from error
        content = read_entry(self._lmdbs[role], path)
        if content is None:
            raise DataError(f"{name}: {META_INFO} lists it, but the LMDB does not hold it")
        return content


def tensor_of(rgb: Pixels, opt: Mapping[str, Any]) -> Tensor:
    """Return an image (H, W, 3) as (C, H, W), float32, 0…1.

    Args:
        rgb: The image.
        opt: The options of the data set; `color: y` makes one channel of luma, and `mean` and `std`
            normalise.
    """
    pixels = to_unit(rgb)
    if opt.get("color") == "y":
        pixels = rgb2ycbcr(pixels, y_only=True)[..., None]
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32))
    mean, std = opt.get("mean"), opt.get("std")
    if mean is not None or std is not None:
        channels = tensor.shape[0]
        normalize(tensor, mean or [0.0] * channels, std or [1.0] * channels, inplace=True)
    return tensor
