"""Pairs are found in time that follows their number, and what is lacking is said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from option_files import write_pairs

from smsr_plugin.images.files import DataError
from smsr_plugin.training.data.named import NamedPairedImageDataset, NamedSingleImageDataset
from smsr_plugin.training.data.pairs import pair_paths

# isort: split
from basicsr.data.paired_image_dataset import PairedImageDataset


def options(folder: Path, **more: object) -> dict[str, object]:
    roots = {f"dataroot_{role}": str(folder / role) for role in ("gt", "lq")}
    return {**roots, "io_backend": {"type": "disk"}, "phase": "val", "scale": 2, **more}


def touch(folder: Path, gt: list[str], lq: list[str]) -> Path:
    for role, names in (("gt", gt), ("lq", lq)):
        (folder / role).mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / role / name).touch()
    return folder


def error_of(folder: Path, **more: object) -> str:
    with pytest.raises(DataError) as caught:
        pair_paths(options(folder, **more))
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder), "F")


@pytest.mark.parametrize("template", ["{}", "{}x2"])
def test_pairs_and_their_order_are_basicsrs(tmp_path, template):
    names = [f"{n}.png" for n in (3, 1, 12, 7)]
    touch(tmp_path, names, [template.format(Path(name).stem) + ".png" for name in names])
    (tmp_path / "gt/.hidden").touch()
    opt = options(tmp_path, filename_tmpl=template)
    assert pair_paths(opt) == PairedImageDataset(options(tmp_path, filename_tmpl=template)).paths
    listed = tmp_path / "list.txt"
    listed.write_text("7.png (480,480,3)\n1.png (480,480,3)\n")
    opt["meta_info_file"] = str(listed)
    assert pair_paths(opt) == PairedImageDataset(dict(opt)).paths


@pytest.mark.parametrize(
    ("gt", "lq", "message"),
    [
        (
            ["0001.png", "0002.png"],
            ["0001x2.png", "0002x2.png"],
            "F/lq holds no 0001.png for the gt image 0001.png, and so for 2 of 2; it holds "
            "0001x2.png: write filename_tmpl: '{}x2'",
        ),
        (
            ["1.jpg"],
            ["1.png"],
            "F/lq holds no 1.jpg for the gt image 1.jpg; it holds 1.png: lq and gt images need the "
            "same extension",
        ),
        (["1.png"], [], "F/lq holds no 1.png for the gt image 1.png; it holds no files"),
        (
            ["1.png"],
            ["a.png", "b.png", "c.png", "d.png"],
            "F/lq holds no 1.png for the gt image 1.png; it holds a.png, b.png, c.png and 1 more",
        ),
        (
            ["1.png"],
            ["1.png", "2.png", "Thumbs.db"],
            "F/lq holds 2.png, Thumbs.db without a gt image in F/gt; remove what does not belong "
            "there",
        ),
    ],
)
def test_what_lacks_is_said_with_a_remedy(tmp_path, gt, lq, message):
    assert error_of(touch(tmp_path, gt, lq)) == message


def test_the_remedy_works(tmp_path):
    names = [f"{n:04d}.png" for n in range(1, 4)]
    touch(tmp_path, names, [f"lr_{name[:-4]}x2.png" for name in names])
    message = error_of(tmp_path)
    template = message.split("filename_tmpl: ")[1].strip("'")
    assert template == "lr_{}x2"
    assert len(pair_paths(options(tmp_path, filename_tmpl=template))) == 3


def test_a_list_that_does_not_fit_is_refused(tmp_path):
    touch(tmp_path, ["1.png"], ["1.png", "2.png"])
    listed = tmp_path / "list.txt"
    listed.write_text("1.png\n2.png\n")
    assert error_of(tmp_path, meta_info_file=str(listed)) == (
        "F/list.txt lists 2.png, which is not in F/gt"
    )


def test_many_images_take_no_longer_than_their_number(tmp_path):
    names = [f"{n}.png" for n in range(4000)]
    touch(tmp_path, names, names)
    start = time.process_time()
    assert len(pair_paths(options(tmp_path))) == 4000
    assert time.process_time() - start < 1  # BasicSR compares 4000² names


def test_a_file_that_is_no_image_is_named(tmp_path):
    folder = write_pairs(tmp_path, 2)
    for role in ("gt", "lq"):
        (folder / role / "x.png").write_text("no image")
    pairs = NamedPairedImageDataset(options(folder, filename_tmpl="{}"))
    index = next(i for i, entry in enumerate(pairs.paths) if "x.png" in entry["lq_path"])
    with pytest.raises(DataError, match=r"gt/x\.png and lq image .*lq/x\.png: cannot be used: it"):
        pairs[index]
    single = NamedSingleImageDataset(options(folder, meta_info_file=None))
    with pytest.raises(DataError, match=r"lq image .*x\.png: cannot be used: it is no image that"):
        single[[Path(path).name for path in single.paths].index("x.png")]
    assert single[0]["lq"].shape[0] == 3
