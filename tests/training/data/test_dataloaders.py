from __future__ import annotations

import logging
import queue
import random
import signal
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from option_files import train_options

from smsr_plugin.training.data import loaders
from smsr_plugin.training.data.image_sets import CheckedPairedImageDataset
from smsr_plugin.training.data.loaders import RunLoader, build_dataloader


class Numbers(torch.utils.data.Dataset):
    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        if index == 2:
            raise ValueError("two is damaged")
        return index


@given(
    images=st.integers(4, 40),
    batch=st.integers(1, 4),
    total=st.integers(1, 200),
    done_share=st.floats(0, 1),
)
def test_epochs_give_just_enough_iterations(images, batch, total, done_share):
    done = int(total * done_share)
    per_epoch = images // batch
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(loaders, "build_dataset", lambda opt: Numbers(images))
        loader, sampler, _, last_epoch, _ = loaders.create_train_val_dataloader(
            {
                "datasets": {
                    "train": {
                        "name": "numbers",
                        "phase": "train",
                        "batch_size_per_gpu": batch,
                        "num_worker_per_gpu": 0,
                    }
                },
                "train": {"total_iter": total},
                "num_gpu": 0,
                "manual_seed": 0,
                "dist": False,
                "rank": 0,
                "world_size": 1,
            },
            logging.getLogger("test"),
            done,
        )
    assert len(loader) == per_epoch
    assert sampler.epoch == done // per_epoch
    assert len(list(sampler)) // batch == per_epoch - done % per_epoch  # left in this epoch
    assert last_epoch * per_epoch < total <= (last_epoch + 1) * per_epoch


def fetch_all(loader, results: queue.Queue) -> None:
    try:
        for item in loader:
            results.put(item.item())
    except ValueError as error:
        results.put(str(error))


def test_a_prefetching_thread_hands_over_its_error():
    results = queue.Queue()
    loader = RunLoader(Numbers(4), ahead=1, batch_size=1)
    # In a thread, because with BasicSR's loader the loop waits forever.
    threading.Thread(target=fetch_all, args=(loader, results), daemon=True).start()
    assert [results.get(timeout=10) for _ in range(3)] == [0, 1, "two is damaged"]


class WorkerState(torch.utils.data.Dataset):
    """What a worker does with Ctrl-C, and its random numbers."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[bool, int, float]:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return ignored, np.random.randint(2**31), random.random()  # noqa: NPY002 (BasicSR's)


def test_workers_ignore_ctrl_c_and_are_seeded_as_basicsr_does(pairs):
    section = train_options(pairs, {"datasets:train:batch_size_per_gpu": 1})["datasets"]["train"]
    section |= {"phase": "train", "num_worker_per_gpu": 1}
    ((ignored, number, fraction),) = build_dataloader(
        WorkerState(), section, num_gpu=0, sampler=[0], seed=5
    )
    assert ignored
    assert number == np.random.RandomState(5).randint(2**31)
    assert fraction == random.Random(5).random()


@pytest.mark.slow
def test_spawned_workers_load_the_plugins_data_set(pairs, monkeypatch):
    """A new interpreter imports the data set's module first, and BasicSR through it."""
    section = train_options(pairs)["datasets"]["train"]
    section |= {"phase": "train", "scale": 2, "num_worker_per_gpu": 1}
    dataset = CheckedPairedImageDataset(section)
    loader = build_dataloader(dataset, section, num_gpu=0, seed=0)
    loader.multiprocessing_context = "spawn"
    batch = next(iter(loader))
    assert batch["lq"].shape == (4, 3, 4, 4)
    assert batch["gt"].shape == (4, 3, 8, 8)
