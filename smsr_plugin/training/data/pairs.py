"""Which lq image belongs to which gt image; what would only be found while a validation runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from smsr_plugin.data.lmdb_store import read_keys, read_meta_info
from smsr_plugin.images.files import DataError
from smsr_plugin.images.reading import read_header
from smsr_plugin.names import listed, printable
from smsr_plugin.staging import open_regular
from smsr_plugin.training.options.names import required
from smsr_plugin.training.options.trial import try_metric
from smsr_plugin.training.options.values import Options, is_section

#: As many file names an error shows of a folder.
SHOWN = 3

#: Images are at least this large in the trial that all metrics have passed.
TRIED_SIZE = 192


def pair_paths(opt: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return `lq_path` and `gt_path` of each pair, in BasicSR's order.

    BasicSR's own search takes the square of the number of images, and says only which file it does
    not find.

    Args:
        opt: The options of the data set: `dataroot_gt`, `dataroot_lq`, `io_backend`, and, if they
            are there, `meta_info_file` and `filename_tmpl`.

    Raises:
        DataError: If an image has no counterpart.
    """
    gt_root, lq_root = Path(opt["dataroot_gt"]), Path(opt["dataroot_lq"])
    if opt["io_backend"]["type"] == "lmdb":
        return [{"lq_path": key, "gt_path": key} for key in sorted(read_keys(lq_root))]
    meta_info = opt.get("meta_info_file")
    gt_names = _listed(Path(meta_info)) if meta_info is not None else _files(gt_root)
    template = opt.get("filename_tmpl") or "{}"
    lq_names = [_lq_name(name, template) for name in gt_names]
    lq_files = _files(lq_root)
    there = set(lq_files)
    absent = [pair for pair in zip(gt_names, lq_names, strict=True) if pair[1] not in there]
    if absent:
        raise DataError(printable(_absent(absent, len(gt_names), lq_root, lq_files)))
    if meta_info is not None:
        missing = next((name for name in gt_names if not (gt_root / name).is_file()), None)
        if missing is not None:
            raise DataError(f"{meta_info} lists {printable(missing)}, which is not in {gt_root}")
    elif more := sorted(there - set(lq_names)):
        names = printable(listed(more, SHOWN))
        raise DataError(
            f"{lq_root} holds {names} without a gt image in {gt_root}; remove what does not belong "
            "there"
        )
    return [
        {"lq_path": str(lq_root / lq), "gt_path": str(gt_root / gt)}
        for lq, gt in zip(lq_names, gt_names, strict=True)
    ]


def image_paths(dataset: Any) -> list[str]:
    """Return the path or key of each image of a data set; of pairs, that of lq."""
    entries: list[Any] = getattr(dataset, "paths", [])
    return [str(entry["lq_path"] if is_section(entry) else entry) for entry in entries]


def _files(folder: Path) -> list[str]:
    """Return the names of a folder's files, without hidden ones, in the order of the disk."""
    with os.scandir(folder) as entries:
        return [e.name for e in entries if not e.name.startswith(".") and e.is_file()]


def _listed(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return [line.split(" ")[0] for line in map(str.strip, lines) if line]


def _lq_name(gt_name: str, template: str) -> str:
    path = Path(gt_name)
    return f"{template.format(path.stem)}{path.suffix}"


def _absent(
    absent: Sequence[tuple[str, str]], count: int, lq_root: Path, lq_files: Sequence[str]
) -> str:
    """Say which lq image is not there, and what may be meant instead.

    Args:
        absent: Names of gt images, each with that of its lq image.
        count: Of all gt images.
        lq_root: Where the lq images are.
        lq_files: What is there.
    """
    gt_name, lq_name = min(absent)
    text = f"{lq_root} holds no {lq_name} for the gt image {gt_name}"
    if len(absent) > 1:
        text += f", and so for {len(absent):,} of {count:,}"
    if not lq_files:
        return f"{text}; it holds no files"
    gt = Path(gt_name)
    same_stem = [name for name in lq_files if Path(name).stem == Path(lq_name).stem]
    alike = [
        name for name in lq_files if gt.stem in Path(name).stem and Path(name).suffix == gt.suffix
    ]
    if same_stem:
        return f"{text}; it holds {same_stem[0]}: lq and gt images need the same extension"
    if alike:
        found = min(alike, key=len)
        template = Path(found).stem.replace(gt.stem, "{}", 1)
        return f"{text}; it holds {found}: write filename_tmpl: '{template}'"
    return f"{text}; it holds {listed(sorted(lq_files), SHOWN)}"


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
