"""Reading, computing and writing at once: order, what is in memory, and how it ends."""

from __future__ import annotations

import itertools
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from smsr_plugin.images.errors import ImageError, guarded
from smsr_plugin.upscaling.overlap import overlapped

PATIENCE = 20.0


def test_results_come_in_order_from_three_threads():
    threads = [set(), set(), set()]

    def load():
        for number in range(20):
            threads[0].add(threading.get_ident())
            yield number

    def work(number):
        threads[1].add(threading.get_ident())
        return number * 10

    def write(number):
        threads[2].add(threading.get_ident())
        return number + 1

    assert list(overlapped(load(), work, write)) == [10 * n + 1 for n in range(20)]
    assert [len(found) for found in threads] == [1, 1, 1]
    assert len(set.union(*threads)) == 3
    assert threads[1] == {threading.get_ident()}
    assert list(overlapped(iter(()), work, write)) == []


def test_the_next_is_read_and_the_last_written_while_one_is_computed():
    """Each stage of one item waits for the others' of its neighbours: in turns it would hang."""
    read, computed = [threading.Event() for _ in range(5)], [threading.Event() for _ in range(5)]

    def load():
        for number in range(4):
            read[number].set()
            yield number
        read[4].set()

    def work(number):
        assert read[number + 1].wait(PATIENCE)
        computed[number].set()
        return number

    def write(number):
        assert number == 3 or computed[number + 1].wait(PATIENCE)
        return number

    assert list(overlapped(load(), work, write)) == [0, 1, 2, 3]


@pytest.mark.parametrize("slow", ["work", "write"])
def test_few_items_are_in_memory_whatever_is_slow(slow):
    stop, lock, alive, most = threading.Event(), threading.Lock(), [0], [0]

    def step(by):
        with lock:
            alive[0] += by
            most[0] = max(most[0], alive[0])

    def load():
        for number in range(12):
            step(1)
            yield number

    def work(number):
        if slow == "work":
            stop.wait(0.02)
        return number

    def write(number):
        if slow == "write":
            stop.wait(0.02)
        step(-1)
        return number

    assert list(overlapped(load(), work, write)) == list(range(12))
    assert 2 <= most[0] <= 4


def test_a_large_item_has_the_memory_to_itself():
    events = []

    def load():
        for number in range(5):
            events.append(("read", number))
            yield number

    def work(number):
        events.append(("work", number))
        return number

    def write(number):
        events.append(("write", number))
        return number

    assert list(overlapped(load(), work, write, lambda number: number == 2)) == list(range(5))
    at = {event: place for place, event in enumerate(events)}
    assert at["write", 1] < at["work", 2] < at["write", 2] < at["read", 3]


@pytest.mark.parametrize("stage", ["read", "work", "write"])
def test_an_error_ends_it_after_what_came_before(stage):
    written = []

    def fail_at_two(name, number):
        if name == stage and number == 2:
            raise RuntimeError("a bug")
        return number

    def write(number):
        written.append(fail_at_two("write", number))
        return number

    threads = threading.active_count()
    run = overlapped(
        (fail_at_two("read", number) for number in range(6)),
        lambda number: fail_at_two("work", number),
        write,
    )
    yielded = []
    with pytest.raises(RuntimeError, match="a bug"):
        yielded.extend(run)
    assert written == [0, 1]
    assert threading.active_count() == threads


def test_ctrl_c_writes_what_is_computed():
    release = threading.Event()

    def work(number):
        if number == 2:
            release.set()
            raise KeyboardInterrupt
        return number

    def write(number):
        assert number == 0 or release.wait(PATIENCE)
        return number

    run = overlapped(itertools.count(), work, write)
    assert next(run) == 0
    assert next(run) == 1
    with pytest.raises(KeyboardInterrupt):
        next(run)


def test_a_caller_that_goes_leaves_no_thread():
    threads = threading.active_count()
    run = overlapped(itertools.count(), lambda n: n, lambda n: n)
    assert next(run) == 0
    run.close()
    assert threading.active_count() == threads


def test_decoders_in_several_threads_give_pillows_limit_and_warnings_back():
    limit, meet = Image.MAX_IMAGE_PIXELS, threading.Barrier(2)

    def first():
        with guarded():
            meet.wait(PATIENCE)  # the other is inside
            warnings.warn("nobody wants to hear of it", UserWarning, stacklevel=1)

    def second():
        with guarded():
            meet.wait(PATIENCE)
            assert left.wait(PATIENCE)  # the first has gone
            assert Image.MAX_IMAGE_PIXELS is None
            raise ValueError("what a decoder says")

    left = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.submit(first), pool.submit(second)
        one.result(PATIENCE)
        left.set()
        with pytest.raises(ImageError, match="what a decoder says"):
            two.result(PATIENCE)
    assert limit == Image.MAX_IMAGE_PIXELS
    with pytest.raises(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)
