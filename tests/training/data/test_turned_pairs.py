"""Pairs whose images carry an EXIF orientation."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paired_data import SCALE, options
from PIL import Image, ImageOps

from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # BasicSR imports from old places
    from smsr_plugin.training.data.image_sets import CheckedPairedImageDataset


def turned_pair(folder: Path, orientation: int, gt_size: tuple[int, int], lq_is: str) -> Path:
    """Make a pair whose gt has an orientation, and lq is made of gt as it is "seen" or "stored"."""
    pixels = np.random.default_rng(0).integers(0, 256, (*gt_size, 3), dtype=np.uint8)
    gt = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("gt", "lq"):
        (folder / name).mkdir(parents=True)
    gt.save(folder / "gt" / "a.png", exif=exif)
    with Image.open(folder / "gt" / "a.png") as image:
        seen = np.asarray(ImageOps.exif_transpose(image))
    lq = downscale(seen if lq_is == "seen" else pixels, SCALE)
    Image.fromarray(lq).save(folder / "lq" / "a.png")
    return folder


def turned_options(folder: Path, phase: str) -> dict[str, Any]:
    return options(folder / "gt", folder / "lq", phase=phase)


@pytest.mark.parametrize("phase", ["train", "val"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_turned_photograph_is_paired_as_it_is_seen(tmp_path, phase, orientation):
    folder = turned_pair(tmp_path, orientation, (40, 60), "seen")
    sample = CheckedPairedImageDataset(turned_options(folder, phase))[0]
    if phase == "val":
        with Image.open(folder / "gt" / "a.png") as image:
            seen = np.asarray(ImageOps.exif_transpose(image))
        assert (sample["gt"].numpy() == seen.transpose(2, 0, 1) / np.float32(255)).all()
    stored = turned_pair(tmp_path / "stored", orientation, (40, 60), "stored")
    with pytest.raises(DataError, match=r"gt is 60×40 and lq 20×30 .*does not fit scale 2"):
        CheckedPairedImageDataset(turned_options(stored, phase))[0]


@pytest.mark.parametrize("phase", ["train", "val"])
@pytest.mark.parametrize(("orientation", "size"), [(2, (40, 60)), (3, (40, 60)), (6, (40, 40))])
@pytest.mark.parametrize("lq_is", ["seen", "stored"])
def test_where_sizes_do_not_tell_how_a_pair_was_turned_it_is_refused(
    tmp_path, phase, orientation, size, lq_is
):
    folder = turned_pair(tmp_path, orientation, size, lq_is)
    message = f"EXIF orientation of gt is {orientation} and that of lq 1: .* cannot be told"
    with pytest.raises(DataError, match=message):
        CheckedPairedImageDataset(turned_options(folder, phase))[0]


def test_a_pair_that_is_turned_alike_is_turned(tmp_path):
    folder = turned_pair(tmp_path, 3, (40, 60), "stored")
    exif = Image.Exif()
    exif[0x0112] = 3
    with Image.open(folder / "lq" / "a.png") as image:
        image.save(folder / "lq" / "a.png", exif=exif)
        upside_down = np.asarray(image)[::-1, ::-1]
    sample = CheckedPairedImageDataset(turned_options(folder, "val"))[0]
    assert (sample["lq"].numpy() == upside_down.transpose(2, 0, 1) / np.float32(255)).all()
