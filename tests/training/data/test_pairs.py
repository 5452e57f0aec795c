"""Pairs are found in time that follows their number, and what is lacking is said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from option_files import write_pairs

from smsr_plugin.images.files import DataError
from smsr_plugin.training.data.image_sets import NamedPairedImageDataset, NamedSingleImageDataset
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


@pytest.mark.parametrize("template", ["{}", "{}x2", "lr_{}"])
def test_pairs_and_their_order_are_basicsrs(tmp_path, template):
    names = [f"{number}.{suffix}" for number in range(20) for suffix in ("png", "jpg")]
    names += ["a.b.png"]
    lq = [template.format(Path(name).stem) + Path(name).suffix for name in names]
    touch(tmp_path, [*names, ".hidden.png"], [*lq, ".hidden"])
    opt = options(tmp_path, filename_tmpl=template)
    assert pair_paths(opt) == PairedImageDataset(options(tmp_path, filename_tmpl=template)).paths
    assert len(pair_paths(opt)) == 41
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
            ["0001.png"],
            ["lr-0001.png"],
            "F/lq holds no 0001.png for the gt image 0001.png; it holds lr-0001.png: write "
            "filename_tmpl: 'lr-{}'",
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


@pytest.mark.slow
def test_time_grows_with_the_number_of_images_and_not_with_its_square(tmp_path):
    seconds = []
    for count in (2000, 16000):
        names = [f"{number:06}.png" for number in range(count)]
        opt = options(touch(tmp_path / str(count), names, names))
        times = []
        for _ in range(3):
            start = time.process_time()
            assert len(pair_paths(opt)) == count
            times.append(time.process_time() - start)
        seconds.append(min(times))
    assert seconds[0] < 0.5  # BasicSR compares 2000² names
    assert seconds[1] < 24 * seconds[0]  # 8 times the images; squared it is 64


def test_the_remedy_is_said_for_data_sets_of_both_kinds(run_training, pairs, tmp_path, capsys):
    for kind in ("PairedImageDataset", "CheckedPairedImageDataset"):
        named = tmp_path / kind
        for role, suffix in (("gt", ""), ("lq", "x2")):
            (named / role).mkdir(parents=True)
            for file in (pairs / role).iterdir():
                (named / role / f"{file.stem}{suffix}.png").symlink_to(file)
        changes = {f"datasets:train:dataroot_{role}": str(named / role) for role in ("gt", "lq")}
        changes |= {"datasets:train:type": kind, "train:total_iter": 1, "name": kind}
        assert run_training(changes) == 2
        assert "write filename_tmpl: '{}x2'" in capsys.readouterr().err.splitlines()[-1]
        assert run_training({**changes, "datasets:train:filename_tmpl": "{}x2"}) == 0


def test_a_file_that_is_no_image_is_named(tmp_path):
    folder = write_pairs(tmp_path, 2)
    for role in ("gt", "lq"):
        (folder / role / "x.png").write_text("no image")
    pairs = NamedPairedImageDataset(options(folder, filename_tmpl="{}"))
    index = next(i for i, entry in enumerate(pairs.paths) if "x.png" in entry["lq_path"])
    with pytest.raises(DataError, match=r"gt image .*gt/x\.png: is damaged or not an image of"):
        pairs[index]
    single = NamedSingleImageDataset(options(folder, meta_info_file=None))
    with pytest.raises(DataError, match=r"lq image .*x\.png: is damaged or not an image of"):
        single[[Path(path).name for path in single.paths].index("x.png")]
    assert single[0]["lq"].shape[0] == 3
