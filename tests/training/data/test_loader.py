"""Loaders whose workers and threads end when the run does."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smsr_plugin.training.data.loaders import RunLoader, load_ahead


class Numbers(torch.utils.data.Dataset):
    def __init__(self, size: int, damaged: int = -1) -> None:
        self.size, self.damaged = size, damaged

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        if index == self.damaged:
            raise ValueError(f"{index} is damaged")
        return index


def running() -> tuple[set, list[str]]:
    """Return the child processes and the names of the threads that load ahead."""
    threads = [t.name for t in threading.enumerate() if t.name.startswith("load_ahead")]
    return set(multiprocessing.active_children()), threads


@pytest.fixture(autouse=True)
def _forked(monkeypatch):
    # The fork server of other tests would stay among the children.
    monkeypatch.setattr(multiprocessing.process, "_children", set())


LOADERS = [
    {"num_workers": workers, "ahead": ahead, "persistent_workers": persistent}
    for workers, persistent in ((0, False), (2, False), (2, True))
    for ahead in (0, 1, 3)
]


@pytest.mark.parametrize("settings", LOADERS)
def test_epochs_are_whole_and_close_leaves_nothing(settings):
    loader = RunLoader(Numbers(7), batch_size=2, drop_last=True, **settings)
    for _ in range(2):
        assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]
    loader.close()
    assert running() == (set(), [])


@pytest.mark.parametrize("settings", LOADERS)
def test_it_can_be_closed_in_the_middle_and_before_the_start(settings):
    loader = RunLoader(Numbers(50), batch_size=1, **settings)
    loader.close()
    batches = iter(loader)
    assert running() == (set(), [])  # nothing starts before a batch is asked for
    assert next(batches).item() == 0
    loader.close()
    assert running() == (set(), [])
    with pytest.raises(StopIteration):
        next(batches)
    loader.close()


@pytest.mark.parametrize("ahead", [0, 1])
def test_an_error_ends_the_workers_although_its_traceback_is_kept(ahead):
    loader = RunLoader(Numbers(9, damaged=3), ahead=ahead, batch_size=1, num_workers=2)
    with pytest.raises(ValueError, match="3 is damaged") as caught:
        list(loader)
    assert running() == (set(), [])
    assert caught.tb is not None


def test_an_iterator_that_is_dropped_ends_its_workers():
    loader = RunLoader(Numbers(9), ahead=1, batch_size=1, num_workers=2)
    batches = iter(loader)
    next(batches)
    del batches
    assert running() == (set(), [])


@given(count=st.integers(1, 5), length=st.integers(0, 12), taken=st.integers(0, 12))
def test_load_ahead_gives_all_in_order_and_asks_for_no_more_than_said(count, length, taken):
    asked = []

    def source() -> Iterator[int]:
        for number in range(length):
            asked.append(number)
            yield number

    loaded = load_ahead(source(), count)
    got = [number for number, _ in zip(loaded, range(taken), strict=False)]
    loaded.close()
    # zip takes one item more than it gives where the source is the longer one.
    assert got == list(range(min(taken, length)))
    assert len(asked) <= min(length, taken + 1 + count)


def test_load_ahead_is_ahead():
    asked = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        asked.set()
        yield 1

    loaded = load_ahead(source(), 1)
    assert next(loaded) == 0
    assert asked.wait(10)  # without being asked for the second
    assert list(loaded) == [1]


def test_load_ahead_raises_what_its_source_raises_after_what_came_before():
    def source() -> Iterator[int]:
        yield 0
        raise ZeroDivisionError

    loaded = load_ahead(source(), 2)
    assert next(loaded) == 0
    with pytest.raises(ZeroDivisionError):
        next(loaded)
