from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import numpy as np
import pytest

from smsr_plugin.images.files import DataError
from smsr_plugin.report.history import Point, read_history

HEAD = """\
2026-11-30 04:45:37,760 INFO:
  name: tiny
  train:[
    total_iter: 4000
  ]
"""
LINE = (
    "2026-11-30 07:03:36,360 INFO: [tiny..][epoch:  5, iter: {iteration:7,}, lr:({rate},)] "
    "[eta: 0:06:30, time (data): 0.500 (0.005)] l_pix: {loss} spa_density: 3.7704e-01 \n"
)
VALIDATED = """\
2026-11-30 07:02:50,299 INFO: Validation Set5
\t # psnr: {psnr}\tBest: 37.6168 @ 18000 iter
\t # spa_density: 0.3716

"""


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "experiments" / "tiny"
    path.mkdir(parents=True)
    return path


def write_log(folder, name, *iterations):
    lines = [
        LINE.format(iteration=i, rate=f"{1 / i:.3e}", loss=f"{2 / i:.4e}")
        + (VALIDATED.format(psnr=30 + i / 1000) if i % 2000 == 0 else "")
        for i in iterations
    ]
    (folder / f"train_tiny_{name}.log").write_text(HEAD + "".join(lines), encoding="utf-8")


def test_a_log_tells_what_tensorboard_would(folder):
    write_log(folder, "1", 1000, 2000, 3000)
    os.utime(folder / "train_tiny_1.log", (0, 0))
    history = read_history(folder)
    assert (history.name, history.source) == ("tiny", "the log")
    assert history.written == datetime.fromtimestamp(0, UTC)
    assert (history.iteration, history.total) == (3000, 4000)
    assert history.series["losses/l_pix"] == [(1000, 2e-3), (2000, 1e-3), (3000, 6.6667e-4)]
    assert [p.value for p in history.series["lr"]] == [1e-3, 5e-4, 3.333e-4]
    assert set(history.series["iterations_per_second"]) == {(i, 2.0) for i in (1000, 2000, 3000)}
    assert history.series["spa_density"][-1] == (3000, 0.37704)
    assert history.series["metrics/Set5/psnr"] == [Point(2000, 32.0)]
    assert history.series["metrics/Set5/spa_density"] == [Point(2000, 0.3716)]
    assert history.sets == ["Set5"]
    assert history.between("metrics/", "/psnr") == {"Set5": [(2000, 32.0)]}
    assert history.masks == {}


def test_what_a_resumed_run_did_anew_counts_once(folder):
    write_log(folder, "1", 1000, 2000, 3000)
    write_log(folder, "2", 2000, 2500)
    history = read_history(folder)
    assert [point.iteration for point in history.series["losses/l_pix"]] == [1000, 2000, 2500]


def test_validations_have_the_iterations_of_their_own_file(folder):
    write_log(folder, "1", 2000)
    metrics = {"Set5": {"1990": {"psnr": 33.5}, "995": {"psnr": 32.5}, "3000": {"psnr": "inf"}}}
    (folder / "validation.json").write_text(json.dumps(metrics))
    history = read_history(folder)
    assert history.series["metrics/Set5/psnr"] == [(995, 32.5), (1990, 33.5)]
    (folder / "validation.json").write_text("[1]")
    with pytest.raises(DataError, match=r"validation\.json: is not what a training writes"):
        read_history(folder)


def test_values_that_are_no_numbers_are_left_out(folder):
    text = HEAD + LINE.format(iteration=1000, rate="1e-3", loss="nan")
    text += LINE.format(iteration=2000, rate="1e-3", loss="--") + "\x00\ufffd iter: x\n"
    (folder / "train_tiny_1.log").write_bytes(text.encode("utf-16-le") + text.encode() + b"\xff")
    history = read_history(folder)
    assert "losses/l_pix" not in history.series
    assert [point.iteration for point in history.series["lr"]] == [1000, 2000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no log"),
        ("", "has not finished its first iterations yet"),
        (HEAD, "has not finished its first iterations yet"),
    ],
)
def test_a_folder_without_a_training_is_one_line(folder, content, message):
    with pytest.raises(DataError, match="there is no such folder"):
        read_history(folder / "none")
    if content is not None:
        (folder / "train_tiny_1.log").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_history(folder)
    assert "\n" not in str(caught.value)


def test_tensorboards_files_tell_masks_and_blocks_too(folder, tmp_path):
    writing = pytest.importorskip("torch.utils.tensorboard")
    write_log(folder, "1", 1000, 2000)
    writer = writing.SummaryWriter(str(tmp_path / "tb_logger" / "tiny"))
    picture = np.zeros((8, 12, 3), np.uint8)
    for iteration in (1000, 2000):
        writer.add_scalar("losses/l_pix", 4.0, iteration)
        writer.add_scalar("validation/Set5/spa_density/block_1", 0.25, iteration)
        writer.add_image("validation/Set5/masks/baby", picture, iteration, dataformats="HWC")
    writer.close()
    history = read_history(folder)
    assert history.source == "TensorBoard’s files"
    assert history.series["losses/l_pix"] == [(1000, 4.0), (2000, 4.0)]
    assert history.between("validation/Set5/spa_density/block_").keys() == {"1"}
    (drawn,) = history.masks.values()
    assert [each.iteration for each in drawn] == [1000, 2000]
    assert drawn[0].png.startswith(b"\x89PNG")
    alone = read_history(tmp_path / "tb_logger" / "tiny")
    assert alone.total is None
    assert alone.series["losses/l_pix"] == history.series["losses/l_pix"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(folder):
    os.mkfifo(folder / "train_tiny_1.log")
    with pytest.raises(OSError, match="it is a pipe"):
        read_history(folder)
