"""What would only be found while a validation runs, found before: names, files, sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smsr_plugin.data.lmdb_store import read_meta_info
from smsr_plugin.images.files import DataError
from smsr_plugin.images.reading import read_header
from smsr_plugin.names import printable
from smsr_plugin.staging import open_regular
from smsr_plugin.training.data.pairs import image_paths
from smsr_plugin.training.options.names import required
from smsr_plugin.training.options.trial import try_metric
from smsr_plugin.training.options.values import Options

#: Images are at least this large in the trial that all metrics have passed.
TRIED_SIZE = 192


def check_validation_set(dataset: Any, opt: Options) -> None:
    """Refuse a data set whose validation would fail, or overwrite its own results.

    Args:
        dataset: It.
        opt: The options of the run.

    Raises:
        DataError: If an image is none, or two would be saved under one name.
        OptionError: If a metric is no number for the smallest image.
    """
    val: Options = opt.get("val") or {}
    name = dataset.opt["name"]
    if val.get("save_img"):
        _check_names({name: image_paths(dataset)})
    smallest = min(_sides(dataset), default=None)
    scale = opt.get("scale") or 1
    if smallest is None or dataset.opt.get("dataroot_gt") is None:
        return
    side = smallest * scale
    metrics: Options = val.get("metrics") or {}
    for metric, keys in metrics.items():
        if side < TRIED_SIZE + 2 * keys.get("crop_border", 0):
            try_metric(f"val.metrics.{metric}", keys, (side, side))


def check_together(datasets: list[Any], opt: Options) -> None:
    """Refuse validation sets of a training whose images BasicSR would save over each other.

    Raises:
        DataError: If they are such sets.
    """
    val: Options = opt.get("val") or {}
    if not val.get("save_img"):
        return
    if not getattr(required("model", opt["model_type"]), "validates_apart", False):
        _check_names({dataset.opt["name"]: image_paths(dataset) for dataset in datasets})


def _check_names(sets: dict[str, list[str]]) -> None:
    """Raise DataError if two images have the same name but for folder and extension."""
    seen: dict[str, tuple[str, str]] = {}
    for name, paths in sets.items():
        for path in paths:
            other, first = seen.setdefault(Path(path).stem, (name, path))
            if (other, first) != (name, path):
                of = f"data set {name}" if other == name else f"data sets {other} and {name}"
                both = printable(f"{first} and {path}")
                raise DataError(
                    f"{of}: the results of {both} would have one name; rename one, or write "
                    "val.save_img: false"
                )


def _sides(dataset: Any) -> Iterator[int]:
    """Yield the shorter side of each lq image.

    Raises:
        DataError: If a file is no image.
    """
    backend: Options = dataset.opt.get("io_backend") or {}
    if backend.get("type") == "lmdb":
        shapes = read_meta_info(Path(dataset.opt["dataroot_lq"]))
        yield from (min(height, width) for height, width, _ in shapes.values())
        return
    for index, path in enumerate(image_paths(dataset)):
        try:
            with open_regular(Path(path)) as file:
                header = read_header(file)
            yield min(header.width, header.height)
        except (OSError, ValueError):
            yield min(dataset[index]["lq"].shape[-2:])  # it may read what we do not
