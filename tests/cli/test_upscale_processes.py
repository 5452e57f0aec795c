"""`smsr upscale` in several processes: one plan, one summary, one exit code."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from image_files import noise, save
from networks import tiny_smsr
from training_process import Ending, kill, together

from smsr_plugin.checkpoints.masked_networks import save as save_checkpoint
from smsr_plugin.processes import LOST

NAMES = [f"{number}.png" for number in range(7)]


@pytest.fixture
def run(tmp_path):
    """Return a function that enlarges a folder, given what is changed before, by rank."""
    save_checkpoint(tiny_smsr(3).float(), tmp_path / "net.safetensors")
    for number, name in enumerate(NAMES):
        save(tmp_path / "in" / name, (noise(8, 6 + number) * 255).astype(np.uint8))

    def run(
        world_size: int,
        out: str,
        *options: str,
        at_rank: dict[int, Callable[[], None]] | None = None,
    ) -> list[Ending]:
        folder = ["upscale", str(tmp_path / "in"), "-o", str(tmp_path / out)]
        arguments = [*folder, "--weights", str(tmp_path / "net.safetensors"), *options]
        return together(world_size, tmp_path, arguments, at_rank=at_rank)

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def act_at(image: str, action: Callable[[], None]) -> None:
    """Do something before an image is read."""
    from smsr_plugin.upscaling import batch

    read = batch.read_picture

    def read_picture(path, *args):
        if path.name == image:
            action()
        return read(path, *args)

    batch.read_picture = read_picture


def test_all_images_are_shared_out_and_summed_up_once(run, tmp_path):
    (tmp_path / "in" / "4.png").write_bytes(b"nonsense")
    (alone,) = run(1, "one")
    endings = run(3, "three")
    assert [ending.code for ending in endings] == [1, 1, 1]
    assert contents(tmp_path / "three") == contents(tmp_path / "one")
    text = "".join(ending.out for ending in endings)
    assert len(re.findall(r"^6 done, 1 failed in .*\nfailed: .*4\.png$", text, re.MULTILINE)) == 1
    assert endings[0].out.splitlines()[-1] == alone.out.splitlines()[-1]
    lines = [
        f"{tmp_path}/in/{name} → {tmp_path}/three/{name} " for name in NAMES if name != "4.png"
    ]
    assert all(text.count(line) == 1 for line in lines)
    shares = [len(re.findall(" → .*density", ending.out)) for ending in endings]
    assert shares == [3, 1, 2]  # 0 3 6, 1 (4), 2 5
    assert "error" not in endings[0].err
    assert endings[1].err.count("4.png: ") == 1


def test_the_report_for_machines_is_in_the_order_of_the_images(run, tmp_path):
    endings = run(2, "out", "--json")
    assert [ending.code for ending in endings] == [0, 0]
    assert endings[1].out == ""
    report = json.loads(endings[0].out)
    assert [image["source"] for image in report["images"]] == [
        str(tmp_path / "in" / name) for name in NAMES
    ]
    assert (report["done"], report["left"]) == (7, 0)


def test_more_processes_than_images_are_no_error(run, tmp_path):
    for name in NAMES[2:]:
        (tmp_path / "in" / name).unlink()
    endings = run(3, "out")
    assert [ending.code for ending in endings] == [0, 0, 0]
    assert "2 done in" in endings[0].out


def test_wrong_usage_is_one_line(run, tmp_path):
    save(tmp_path / "in" / "0.gif", np.zeros((4, 4, 3), np.uint8))
    endings = run(2, "out")  # 0.gif and 0.png would both become 0.png
    assert [ending.code for ending in endings] == [2, 2]
    (line,) = "".join(ending.err for ending in endings).splitlines()
    assert line.endswith("would both be written to " + str(tmp_path / "out" / "0.png"))
    assert not (tmp_path / "out").exists()


@pytest.mark.survival
@pytest.mark.parametrize("rank", [0, 1])
def test_an_interrupted_process_is_told_of_by_all(run, tmp_path, rank):
    interrupt = partial(act_at, f"{2 + rank}.png", partial(signal.raise_signal, signal.SIGINT))
    endings = run(2, "out", at_rank={rank: interrupt})
    assert [ending.code for ending in endings] == [130, 130]
    left = 7 - len(contents(tmp_path / "out"))
    # It reads ahead: it stops with none, one or two of its own 4 or 3 done; the other goes on.
    assert left in {0: (2, 3, 4), 1: (1, 2, 3)}[rank]
    said = f"smsr upscale: interrupted, {left} left; --skip-existing goes on"
    assert [ending.err.splitlines()[-1:] for ending in endings] == [[said], []]


@pytest.mark.survival
def test_a_killed_process_ends_the_others_with_one_line(run):
    endings = run(3, "out", at_rank={1: partial(act_at, "4.png", kill)})
    assert [ending.code for ending in endings] == [1, -signal.SIGKILL, 1]
    lines = [line for ending in endings for line in ending.err.splitlines()]
    assert lines == [f"smsr upscale: error: {LOST}; start again with --skip-existing"]
