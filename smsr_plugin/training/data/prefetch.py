"""BasicSR's prefetching thread (`prefetch_mode: cpu`), which must not swallow errors."""

from __future__ import annotations

from typing import Any

from basicsr.data.prefetch_dataloader import PrefetchGenerator


class RaisingPrefetchGenerator(PrefetchGenerator):
    """Raises in the main thread what goes wrong in its own.

    In BasicSR's, the thread dies of an unreadable image, and training waits for it forever.
    """

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            self.queue.put(error)

    def __next__(self) -> Any:
        item = super().__next__()
        if isinstance(item, Exception):
            raise item
        return item
