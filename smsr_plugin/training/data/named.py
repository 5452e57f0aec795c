"""BasicSR's data sets of images, naming the file at fault when an image cannot be used."""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.data.single_image_dataset import SingleImageDataset

from smsr_plugin.images.files import DataError
from smsr_plugin.names import first_line
from smsr_plugin.training.data.pairs import set_up


class NamedPairedImageDataset(PairedImageDataset):
    """PairedImageDataset, as BasicSR reads images of any depth."""

    def __init__(self, opt: Mapping[str, Any]) -> None:
        opt = deepcopy(dict(opt))
        set_up(self, opt)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            return cast(Any, super()).__getitem__(index)
        except Exception as error:
            paths = cast(Any, self).paths[index]
            names = f"gt image {paths['gt_path']} and lq image {paths['lq_path']}"
            raise DataError(f"{names}: cannot be used: {_reason(error)}") from error


class NamedSingleImageDataset(SingleImageDataset):
    """SingleImageDataset; `meta_info_file: ~` is the same as no list."""

    def __init__(self, opt: Mapping[str, Any]) -> None:
        opt = deepcopy(dict(opt))
        if opt.get("meta_info_file") is None:
            opt.pop("meta_info_file", None)
        super().__init__(opt)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            return cast(Any, super()).__getitem__(index)
        except Exception as error:
            reason = _reason(error)
            raise DataError(
                f"lq image {cast(Any, self).paths[index]}: cannot be used: {reason}"
            ) from error


def _reason(error: Exception) -> str:
    """Return what an error says; of an image that cannot be decoded OpenCV returns None."""
    if isinstance(error, AttributeError):
        return "it is no image that OpenCV reads"
    return first_line(error)


#: In place of BasicSR's, by their `type`.
NAMED = {
    "PairedImageDataset": NamedPairedImageDataset,
    "SingleImageDataset": NamedSingleImageDataset,
}
