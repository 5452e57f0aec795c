"""BasicSR's data sets of images, with the reader of all commands in place of OpenCV.

OpenCV takes planes of a TIFF for one another, and gives None for what it cannot read.
"""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from basicsr.data.single_image_dataset import SingleImageDataset

from smsr_plugin.data.lmdb_store import open_lmdb
from smsr_plugin.images.header import Header
from smsr_plugin.images.pixels import Pixels
from smsr_plugin.training.data.client import ImageClient, decode_any, tensor_of
from smsr_plugin.training.data.paired_dataset import CheckedPairedImageDataset


class NamedPairedImageDataset(CheckedPairedImageDataset):
    """PairedImageDataset: as CheckedPairedImageDataset, but images of any depth are taken.

    Grey becomes three equal channels, in training as well, and opacity is left out.
    """

    def _decode(self, content: bytes, name: str) -> tuple[Pixels, Header]:
        return decode_any(content, name)


class NamedSingleImageDataset(SingleImageDataset):
    """SingleImageDataset; `meta_info_file: ~` is the same as no list.

    BasicSR's own takes red for blue where `color` is `y`.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        opt = deepcopy(dict(opt))
        if opt.get("meta_info_file") is None:
            opt.pop("meta_info_file", None)
        if opt["io_backend"]["type"] == "lmdb":
            open_lmdb(Path(opt["dataroot_lq"]))
        super().__init__(opt)
        self._keys, self._client = opt, None

    def __getstate__(self) -> dict[str, Any]:
        # An open LMDB does not cross into another process.
        return self.__dict__ | {"_client": None}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return lq (C, H, W), 0…1, and its path or key.

        Raises:
            DataError: If the image is missing, damaged, or of a kind that is refused.
        """
        if self._client is None:
            self._client = ImageClient(self._keys)
        path = cast(Any, self).paths[index]
        return {"lq": tensor_of(self._client.load(path, "lq").rgb, self._keys), "lq_path": path}


#: In place of BasicSR's, by their `type`.
NAMED = {
    "PairedImageDataset": NamedPairedImageDataset,
    "SingleImageDataset": NamedSingleImageDataset,
}
