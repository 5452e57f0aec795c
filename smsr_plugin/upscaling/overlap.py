"""Reading the next and writing the last while one is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Generic, TypeVar

Loaded = TypeVar("Loaded")
Made = TypeVar("Made")
Done = TypeVar("Done")

_END = object()


def overlapped(
    loaded: Iterator[Loaded],
    work: Callable[[Loaded], Made],
    write: Callable[[Made], Done],
    alone: Callable[[Loaded], bool] = lambda loaded: False,
) -> Iterator[Done]:
    """Yield `write(work(item))` for each item, in order; one is loaded ahead, one written behind.

    Decoders, encoders and the network leave Python's lock free, so that one thread for each is
    enough. `work` runs in the caller's thread. At any time there is at most one item loaded ahead,
    one in the works, and two results that are written or wait for it.

    Args:
        loaded: Advanced in a thread of its own, and so are the things that it does on the way.
        work: What computes.
        write: Called in a thread of its own, for one result after the other.
        alone: Whether an item is so large that nothing else should be in memory beside it.

    Raises:
        KeyboardInterrupt: After Ctrl-C; what has been computed is written and yielded before.
        Exception: What `loaded`, `work` and `write` raise, in the order of the items; nothing is
            written after an item that could not be.
    """
    with ThreadPoolExecutor(1) as reader, _Writer(write) as writer:
        ahead = reader.submit(next, loaded, _END)
        try:
            while (item := ahead.result()) is not _END:
                single = alone(item)  # type: ignore[arg-type]
                if single:
                    yield from writer.finished(0)
                else:
                    ahead = reader.submit(next, loaded, _END)
                made = work(item)  # type: ignore[arg-type]
                del item
                writer.add(made)
                del made
                yield from writer.finished(0 if single else 1)
                if single:
                    ahead = reader.submit(next, loaded, _END)
        except KeyboardInterrupt:
            with suppress(CancelledError):  # what interrupted may have been the writer
                yield from writer.finished(0)
            raise
        yield from writer.finished(0)


class _Writer(Generic[Made, Done]):
    """Writes results in a thread, one after the other, and none after one that failed."""

    def __init__(self, write: Callable[[Made], Done]) -> None:
        self._write, self._failed = write, Event()
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[Done]] = deque()

    def __enter__(self) -> _Writer[Made, Done]:
        return self

    def __exit__(self, *args: object) -> None:
        self._thread.shutdown()

    def add(self, made: Made) -> None:
        self._waiting.append(self._thread.submit(self._one, made))

    def _one(self, made: Made) -> Done:
        if self._failed.is_set():
            raise CancelledError
        try:
            return self._write(made)
        except BaseException:
            self._failed.set()
            raise

    def finished(self, left: int) -> Iterator[Done]:
        """Yield what has been written, after waiting until at most so many are left to write."""
        while len(self._waiting) > left or (self._waiting and self._waiting[0].done()):
            yield self._waiting.popleft().result()
