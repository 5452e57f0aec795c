"""Trainings that are killed, starved of disk or fed nonsense, and what is left of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import lmdb
import pytest
import torch
from option_files import train_options, validation, write_options, write_pairs
from training_process import (
    Ending,
    in_iteration,
    in_validation,
    kill,
    kill_in_save,
    limit_file_size,
    nan_images,
    train,
)

from smsr_plugin.data.lmdb_store import LmdbWriter
from smsr_plugin.training.run.pipeline import only_training_in

SMSR = {
    "model_type": "SMSRModel",
    "network_g": {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2},
    "datasets:train:type": "CheckedPairedImageDataset",
    "train:ema_decay": 0.9,
    "train:iters_per_epoch": 2,
    "train:sparsity_opt": {"type": "SparsityLoss", "loss_weight": 0.001},
}


pytestmark = pytest.mark.survival


@pytest.fixture
def run(tmp_path: Path, pairs: Path) -> Callable[..., Ending]:
    """Return a function that trains or resumes SMSR in a process, after some faults."""

    def run(changes: Mapping[str, Any], *faults: Callable[[], None]) -> Ending:
        options = train_options(pairs, {**SMSR, **changes})
        return train(tmp_path, write_options(tmp_path / "tiny.yml", options), *faults)

    return run


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


def network(experiment, iteration: int | str) -> dict[str, torch.Tensor]:
    """Return the weights and the averaged weights of a saved network."""
    content = torch.load(experiment.folder / f"models/net_g_{iteration}.pth", weights_only=True)
    assert content.keys() == {"params", "params_ema"}
    return {f"{part}.{key}": t for part in content for key, t in content[part].items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    assert a.keys() == b.keys()
    return all(torch.equal(a[key], b[key]) for key in a)


def temporary_files(experiment) -> list[Path]:
    return list(experiment.folder.rglob("*.tmp"))


@pytest.mark.parametrize("workers", [0, 2])
def test_13_a_kill_and_27_equal_40_iterations(run, experiment, tmp_path, workers):
    changes = {"train:total_iter": 40, "datasets:train:dataset_enlarge_ratio": 4}
    assert run(changes).code == 0
    straight = network(experiment, "latest")
    shutil.rmtree(experiment.folder)
    # A state after 13 iterations lies inside an epoch of 11; the kill comes later.
    changes |= {"logger:save_checkpoint_freq": 13, "datasets:train:num_worker_per_gpu": workers}
    assert run(changes, partial(in_iteration, 15, kill)).code == -signal.SIGKILL
    resumed = run(changes)
    assert resumed.code == 0
    assert "13.state, iteration 13." in resumed.out
    assert equal(network(experiment, "latest"), straight)
    assert not equal(network(experiment, 39), straight)


def test_a_kill_anywhere_in_a_save_leaves_the_pair_before_or_the_new_one(run, experiment):
    assert run({}).code == 0
    straight = network(experiment, "latest")
    # A pair takes two files, each with fsync of the file, rename, fsync of the folder.
    points = [("fsync", 5, 5), ("replace", 3, 5), ("fsync", 6, 5)]
    points += [("fsync", 7, 5), ("replace", 4, 5), ("fsync", 8, 10)]
    for call, count, usable in points:
        shutil.rmtree(experiment.folder)
        killed = run({}, partial(kill_in_save, call, count))
        assert killed.code == -signal.SIGKILL, (call, count)
        left = temporary_files(experiment)
        resumed = run({})
        assert resumed.code == 0
        assert f"{usable}.state, iteration {usable}." in resumed.out, (call, count)
        assert all(f"Removed {path}" in resumed.out for path in left)
        assert not temporary_files(experiment)
        assert equal(network(experiment, "latest"), straight)


def test_a_full_disk_ends_the_run_and_leaves_the_last_pair(run, experiment):
    assert run({"train:total_iter": 10}).code == 0
    straight = run({"name": "straight"})
    assert straight.code == 0
    size = {p.suffix: p.stat().st_size for p in experiment.folder.glob("*/*10.*")}
    assert size[".state"] > size[".pth"]
    for limit, file in ((size[".pth"] - 1, "net_g_15.pth"), (size[".state"] - 1, "15.state")):
        full = run({}, partial(limit_file_size, limit))
        assert full.code == 1
        assert re.search(
            rf"^smsr train: error: cannot save \S+{file}: File too large; "
            r"the last good state is \S+/10\.state$",
            full.err,
            re.MULTILINE,
        )
        assert "Traceback" not in full.err
        assert not temporary_files(experiment)
        assert experiment.states == [5, 10]
    resumed = run({})
    assert "10.state, iteration 10." in resumed.out
    assert resumed.code == 0
    whole = type(experiment)(experiment.folder.with_name("straight"))
    assert equal(network(experiment, 20), network(whole, 20))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Make `tmp_path/experiments` a file system of its own, of 2 MB in memory."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """Fill a file system with one file, up to about `left` bytes; return the file."""
    path = folder / "filler"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(folder).f_bavail == 0
    os.truncate(path, path.stat().st_size - left)
    return path


def test_a_disk_that_is_really_full_ends_the_run_and_leaves_the_last_pair(
    run, experiment, small_disk
):
    straight = run({"name": "straight"})
    assert straight.code == 0
    assert run({"train:total_iter": 10}).code == 0
    size = {p.suffix: p.stat().st_size for p in experiment.folder.glob("*/*10.*")}
    room = size[".pth"] + size[".state"]
    for left, file in ((room // 4, "net_g_15.pth"), (room - 8192, "15.state")):
        filler = fill(small_disk, left)
        full = run({})
        assert full.code == 1, full.err
        assert re.fullmatch(
            rf"smsr train: error: cannot save \S+{file}: No space left on device; "
            r"the last good state is \S+/10\.state",
            full.error,
        )
        assert "Traceback" not in full.err
        assert not temporary_files(experiment)
        assert experiment.states == [5, 10]
        filler.unlink()
        (experiment.folder / "models/net_g_15.pth").unlink(missing_ok=True)
    resumed = run({})
    assert resumed.code == 0, resumed.err
    assert "10.state, iteration 10." in resumed.out
    whole = type(experiment)(experiment.folder.with_name("straight"))
    assert equal(network(experiment, "latest"), network(whole, "latest"))


def test_a_second_training_in_the_same_folder_is_refused(run, experiment):
    assert run({"train:total_iter": 10}).code == 0
    with only_training_in(experiment.folder):
        before = sorted(experiment.folder.parent.rglob("*"))
        second = run({})
        assert second.code == 2
        assert f"is in use by another training (process {os.getpid()} on " in second.error
        assert sorted(experiment.folder.parent.rglob("*")) == before
    assert run({}).code == 0


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_tell(run, experiment, signum, code):
    changes = {
        "datasets:train:num_worker_per_gpu": 1,
        "datasets:train:dataset_enlarge_ratio": 10,
    }
    ended = run(changes, partial(in_iteration, 7, partial(send, signum)))
    assert (ended.code, experiment.states) == (code, [5, 7])
    assert ended.error.startswith("smsr train: interrupted")
    resumed = run(changes)
    assert resumed.code == 0
    assert "7.state, iteration 7." in resumed.out


def test_a_signal_does_not_wait_for_a_validation(run, pairs, experiment):
    changes = {**validation(pairs), "val:val_freq": 8}
    ended = run(changes, partial(in_validation, partial(send, signal.SIGTERM)))
    assert (ended.code, experiment.states) == (143, [5, 8])
    assert "Validation pairs" not in ended.err


def test_a_loss_that_is_no_number_ends_the_run_with_the_batch_named(run, experiment):
    ended = run({"train:optim_g:lr": 1e30, "logger:save_checkpoint_freq": 1})
    assert ended.code == 1
    expected = (
        r"smsr train: error: iteration 2: l_pix is (nan|inf)\b.* on the batch "
        r"\d+\.png, \d+\.png, \d+\.png, \d+\.png; .*; the last good state is \S+/1\.state"
    )
    assert re.fullmatch(expected, ended.error)
    assert experiment.states == [1]


def test_batches_are_skipped_if_asked_and_not_too_many_in_a_row(run, experiment):
    ended = run({"train:skip_nonfinite": 2}, partial(nan_images, 3, 4, 8))
    assert ended.code == 0
    assert re.findall(r"Skipped: iteration (\d+): l_pix is nan", ended.err) == ["3", "4", "8"]
    assert all(t.isfinite().all() for t in network(experiment, "latest").values())
    steps = torch.load(experiment.folder / "training_states" / "20.state", weights_only=True)
    assert int(steps["optimizers"][0]["state"][0]["step"]) == 17
    shutil.rmtree(experiment.folder)
    ended = run({"train:skip_nonfinite": 2}, partial(nan_images, 7, 8, 9))
    assert ended.code == 1
    assert "iteration 9: l_pix is nan" in ended.error
    assert experiment.states == [5]


def test_an_image_that_goes_bad_ends_the_run_with_the_work_saved(run, experiment, tmp_path):
    own = write_pairs(tmp_path / "own", 4)
    roots = {f"datasets:train:dataroot_{role}": str(own / role) for role in ("gt", "lq")}
    file = own / "lq" / "2.png"
    ended = run(roots, partial(in_iteration, 7, partial(file.write_bytes, b"nonsense")))
    assert ended.code == 2
    assert ended.error.startswith(f"smsr train: error: lq image {file}: is damaged or not an image")
    assert experiment.states == [5, 7]


@pytest.fixture
def lmdbs(tmp_path: Path, pairs: Path) -> dict[str, Any]:
    """Return the options for LMDBs of the pairs, which a test may spoil."""
    options: dict[str, Any] = {"datasets:train:io_backend": {"type": "lmdb"}}
    for role in ("gt", "lq"):
        folder = tmp_path / f"{role}.lmdb"
        folder.mkdir()
        files = sorted((pairs / role).glob("*.png"))
        with LmdbWriter(folder) as writer:
            writer.put((file.stem, file.read_bytes(), (0, 0, 3)) for file in files)
        options[f"datasets:train:dataroot_{role}"] = str(folder)
    return options


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def cut(folder: Path) -> None:
    os.truncate(folder / "data.mdb", (folder / "data.mdb").stat().st_size // 2)


def delete_key(folder: Path) -> None:
    with lmdb.open(str(folder), lock=False) as env, env.begin(write=True) as txn:
        assert txn.delete(b"3")


def scribble(folder: Path) -> None:
    content = bytearray((folder / "data.mdb").read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    (folder / "data.mdb").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove, "datasets.train.dataroot_lq: expected an existing path"),
        (cut, "is cut short; make or download the LMDB again"),
        (delete_key, "lq image '3' of .*: meta_info.txt lists it, but the LMDB does not hold it"),
        (scribble, r"lq.lmdb"),
    ],
)
def test_an_lmdb_that_cannot_be_used_is_one_line(run, lmdbs, damage, message):
    damage(Path(lmdbs["datasets:train:dataroot_lq"]))
    ended = run(lmdbs)
    assert ended.code == 2
    assert re.search(f"^smsr train: error: .*{message}", ended.error)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove, "was removed or replaced while it was in use|is not a folder|holds no data.mdb"),
        (cut, "is cut short"),
    ],
)
def test_an_lmdb_that_goes_while_running_ends_the_run_with_the_work_saved(
    run, lmdbs, experiment, damage, message, workers
):
    lmdbs["datasets:train:num_worker_per_gpu"] = workers
    damage_lq = partial(damage, Path(lmdbs["datasets:train:dataroot_lq"]))
    ended = run(lmdbs, partial(in_iteration, 6, damage_lq))
    assert ended.code == 2
    assert re.search(f"^smsr train: error: .*{message}", ended.error)
    assert experiment.states[0] == 5
    assert experiment.states[1] in (6, 7, 8)  # a worker loads some batches ahead
