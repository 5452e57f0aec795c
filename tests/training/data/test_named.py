"""BasicSR's data sets of images give what the files hold, whatever OpenCV makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiff_files import DEFLATE, NONE, Layout, tiff

from smsr_plugin.images.files import DataError
from smsr_plugin.training.data.image_sets import (
    CheckedPairedImageDataset,
    NamedPairedImageDataset,
    NamedSingleImageDataset,
)

# isort: split
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.data.single_image_dataset import SingleImageDataset

LQ_SIZE, SCALE = (12, 10), 2
ORIENTATION, UPSIDE_DOWN = 274, 3


def options(folder: Path, **more: object) -> dict[str, Any]:
    roots = {f"dataroot_{role}": str(folder / role) for role in ("gt", "lq")}
    opt = {**roots, "io_backend": {"type": "disk"}, "phase": "val", "scale": SCALE, **more}
    return opt | ({"filename_tmpl": "{}"} if more.get("filename_tmpl") is None else {})


def noise(channels: int, dtype: type[np.unsignedinteger] = np.uint8) -> dict[str, np.ndarray]:
    """Return gt and lq, (H, W, C)."""
    rng, top = np.random.default_rng(0), np.iinfo(dtype).max
    sizes = {"gt": [SCALE * side for side in LQ_SIZE], "lq": LQ_SIZE}
    return {r: rng.integers(0, top + 1, (*size, channels), dtype) for r, size in sizes.items()}


def written(folder: Path, contents: dict[str, bytes], suffix: str) -> Path:
    for role, content in contents.items():
        (folder / role).mkdir(parents=True)
        (folder / role / f"x{suffix}").write_bytes(content)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with a pair each of RGB, grey, RGBA and 16-bit grey PNGs."""
    kinds = {"RGB": noise(3), "L": noise(1), "RGBA": noise(4), "I;16": noise(1, np.uint16)}
    for role in ("gt", "lq"):
        (tmp_path / role).mkdir()
        for mode, pixels in kinds.items():
            Image.fromarray(np.squeeze(pixels[role])).save(
                tmp_path / role / f"{mode.replace(';', '')}.png"
            )
    return tmp_path


def test_what_opencv_reads_rightly_is_as_in_basicsr(photos):
    """Of 16 bits BasicSR keeps the upper 8."""
    ours, theirs = NamedPairedImageDataset(options(photos)), PairedImageDataset(options(photos))
    assert len(ours) == 4
    alone, others = NamedSingleImageDataset(options(photos)), SingleImageDataset(options(photos))
    for index in range(4):
        found, expected = ours[index], theirs[index]
        assert (found["lq_path"], found["gt_path"]) == (expected["lq_path"], expected["gt_path"])
        exact = 1 / 255 if "I16" in found["lq_path"] else 0
        for role in ("lq", "gt"):
            torch.testing.assert_close(found[role], expected[role], rtol=0, atol=exact)
        single, other = alone[index], others[index]
        assert single["lq_path"] == other["lq_path"]
        exact = 1 / 255 if "I16" in single["lq_path"] else 0
        torch.testing.assert_close(single["lq"], other["lq"], rtol=0, atol=exact)


@pytest.mark.parametrize("compression", [NONE, DEFLATE])
@pytest.mark.parametrize("planar", [1, 2])
def test_tiffs_of_16_bits_are_what_they_hold(tmp_path, planar, compression):
    pixels = noise(3, np.uint16)
    layout = Layout(planar, compression)
    folder = written(tmp_path, {role: tiff(p, layout) for role, p in pixels.items()}, ".tif")
    pair, single = NamedPairedImageDataset(options(folder))[0], NamedSingleImageDataset(
        options(folder)
    )[0]  # fmt: skip
    for role, found in (("gt", pair["gt"]), ("lq", pair["lq"]), ("lq", single["lq"])):
        expected = torch.from_numpy(pixels[role].astype(np.float64) / 65535).permute(2, 0, 1)
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-7)


def test_luma_is_that_of_red_green_and_blue(photos):
    """BasicSR's SingleImageDataset takes red for blue."""
    opt = options(photos, color="y")
    single = NamedSingleImageDataset(opt)
    index = [Path(path).stem for path in single.paths].index("RGB")
    pixels = np.asarray(Image.open(single.paths[index])) / 255
    expected = (16 + pixels @ [65.481, 128.553, 24.966]) / 255  # BT.601
    found = single[index]["lq"]
    assert found.shape == (1, *LQ_SIZE)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-6)
    pairs = CheckedPairedImageDataset(
        {**opt, "dataroot_lq": opt["dataroot_gt"], "scale": 1, "dataroot_gt": opt["dataroot_gt"]}
    )
    index = [Path(pair["gt_path"]).stem for pair in pairs.paths].index("RGB")  # in any order
    assert pairs[index]["lq"].shape[0] == 1


def test_a_pair_of_which_one_is_turned_is_refused(tmp_path):
    files = {}
    for role, pixels in noise(3).items():
        image, exif = Image.fromarray(pixels), Image.Exif()
        exif[ORIENTATION] = UPSIDE_DOWN
        (tmp_path / role).mkdir()
        files[role] = tmp_path / role / "x.png"
        image.save(files[role], **({"exif": exif} if role == "gt" else {}))
    with pytest.raises(DataError, match="the EXIF orientation of gt is 3 and that of lq 1"):
        NamedPairedImageDataset(options(tmp_path))[0]
    single = NamedSingleImageDataset(options(tmp_path, dataroot_lq=str(tmp_path / "gt")))[0]["lq"]
    pixels = torch.from_numpy(noise(3)["gt"]).permute(2, 0, 1) / 255
    torch.testing.assert_close(single, pixels.flip(1, 2), rtol=0, atol=1e-7)


def test_a_device_in_a_list_of_images_is_refused(photos):
    listed = photos / "list.txt"
    listed.write_text("../../../../../../../../dev/zero (1,1,3)\n")
    single = NamedSingleImageDataset(options(photos, meta_info_file=str(listed)))
    with pytest.raises(DataError, match=r"cannot be read .*a pipe, a socket or a device"):
        single[0]
