from __future__ import annotations

import time
from pathlib import Path

import basicsr.data.data_util
import pytest

from smsr_plugin.training.data.pairing import paired_paths_from_folder


def fill(folder: Path, names) -> str:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return str(folder)


def pairs_of(tmp_path, lq, gt, template="{}", pair=paired_paths_from_folder):
    folders = [fill(tmp_path / "lq", lq), fill(tmp_path / "gt", gt)]
    return pair(folders, ["lq", "gt"], template)


@pytest.mark.parametrize("template", ["{}", "{}x2", "lr_{}"])
def test_pairs_are_those_of_basicsr(tmp_path, template):
    gt = [f"{number}.{suffix}" for number in range(20) for suffix in ("png", "jpg")]
    gt += ["a.b.png"]
    lq = [template.format(Path(name).stem) + Path(name).suffix for name in gt]
    found = pairs_of(tmp_path, [*lq, ".hidden"], [*gt, ".hidden.png"], template)
    original = basicsr.data.data_util.paired_paths_from_folder
    folders = [str(tmp_path / role) for role in ("lq", "gt")]
    assert found == original(folders, ["lq", "gt"], template)
    assert len(found) == 41


@pytest.mark.parametrize(
    ("lq", "advice"),
    [
        (["0001x2.png"], "there is 0001x2.png: write filename_tmpl: '{}x2' for such names"),
        (["lr-0001.png"], "there is lr-0001.png: write filename_tmpl: 'lr-{}' for such names"),
        (["0001.jpg"], "there is 0001.jpg: lq images need the extension of gt images"),
        (["b.png", "a.png"], "it holds a.png, …: filename_tmpl says how lq images are called"),
        ([], "it holds no files at all"),
    ],
)
def test_what_to_do_is_said(tmp_path, lq, advice):
    with pytest.raises(ValueError, match="holds no") as caught:
        pairs_of(tmp_path, lq, ["0001.png"])
    gt = tmp_path / "gt" / "0001.png"
    assert str(caught.value) == f"{tmp_path}/lq holds no 0001.png for {gt}; {advice}"


def test_lq_images_without_a_partner_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"holds 3 files and .*gt 1: there is no gt image for b\.p"
    ):
        pairs_of(tmp_path, ["a.png", "b.png", "c.png"], ["a.png"])


def test_it_is_used_for_data_sets_of_both_kinds(run_training, pairs, tmp_path, capsys):
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


@pytest.mark.slow
def test_time_grows_with_the_number_of_images_and_not_with_its_square(tmp_path):
    seconds = []
    for count in (2000, 16000):
        folder = tmp_path / str(count)
        folder.mkdir()
        names = [f"{number:06}.png" for number in range(count)]
        folders = [fill(folder / role, names) for role in ("lq", "gt")]
        times = []
        for _ in range(3):
            start = time.process_time()
            paired_paths_from_folder(folders, ["lq", "gt"], "{}")
            times.append(time.process_time() - start)
        seconds.append(min(times))
    assert seconds[1] < 24 * seconds[0]  # 8 times the images; squared it is 64
