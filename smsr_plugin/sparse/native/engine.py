"""Runs a program on the native kernels, one image at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.program import Program
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.bands import BandedBlock
from smsr_plugin.sparse.native.kernels import Floats, Kernels
from smsr_plugin.sparse.native.lowering import lower
from smsr_plugin.sparse.native.operation import (
    ACTIVITY,
    BYTES,
    FLOATS,
    LEVELS,
    Image,
    Operation,
    activity_name,
)
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import CACHE_LINE, PlanePool, rounded_up
from smsr_plugin.sparse.native.run import Run
from smsr_plugin.sparse.native.slots import Slot, assign
from smsr_plugin.timing import Timer

#: Bytes of a float32.
FLOAT = 4
#: Of a lq pixel besides the planes: the image, lists of pixels, the inside of a mask's hourglass.
BYTES_BESIDES = 192
#: Larger images are computed in bands, in pixels.
WHOLE = 1 << 20


class Schedule:
    """Operations in order, where their planes lie, and when lists are not needed any more.

    Attributes:
        operations, places: See `lowering` and `slots`.
        blocks: Those that are computed in bands.
        done: For each operation the masks that it is the last to need.
    """

    def __init__(
        self, operations: list[Operation], num_masks: int, blocks: Sequence[BandedBlock] = ()
    ) -> None:
        self.operations, self.blocks = operations, blocks
        self.places = assign([operation.access for operation in operations])
        self.done: list[list[int]] = [[] for _ in operations]
        for mask in range(num_masks):
            name = activity_name(mask)
            users = [n for n, operation in enumerate(operations) if name in operation.access.reads]
            if users:
                self.done[users[-1]].append(mask)


class NativeEngine:
    """The packed weights of a program, and the planes to run it in."""

    def __init__(self, program: Program[Array], kernels: Kernels, arithmetic: Arithmetic) -> None:
        self.kernels, self.arithmetic = kernels, arithmetic
        # In one order, because the sums of the packing follow that of the memory.
        ordered = program.map(lambda _, weight: np.ascontiguousarray(weight))
        lowered = lower(ordered, arithmetic)
        self.whole = self.banded = Schedule(lowered.whole, program.num_masks)
        if lowered.banded is not None:
            operations, blocks = lowered.banded
            self.banded = Schedule(operations, program.num_masks, blocks)
        self.pool = PlanePool()

    @property
    def has_bands(self) -> bool:
        """Whether large images are computed in bands, which need less memory."""
        return bool(self.banded.blocks)

    def _schedule_for(self, height: int, width: int) -> Schedule:
        return self.banded if height * width > WHOLE else self.whole

    def bytes_needed(self, height: int, width: int, threads: int) -> int:
        """Return what a run of an image takes if every pixel is important."""
        schedule = self._schedule_for(height, width)
        slots = {id(place.slot): place.slot for place in schedule.places.values()}.values()
        each = sum(self._bytes_of(slot) for slot in slots) + BYTES_BESIDES
        rings: dict[str, int] = {}  # blocks share them
        for block in schedule.blocks:
            for number, count in enumerate(block.channels):
                name, dtype = block.ring_of(number, height, self.arithmetic)
                size = block.rows(height) * _lines(count, dtype.itemsize)
                rings[name] = max(rings.get(name, 0), size)
        held = max(operation.rows for operation in schedule.operations) * CACHE_LINE * threads
        return height * width * each + width * (sum(rings.values()) + held)

    def _bytes_of(self, slot: Slot) -> int:
        if slot.kind == ACTIVITY:
            return 1
        sizes = {FLOATS: FLOAT, BYTES: 1, LEVELS: 1}
        return _lines(slot.room, sizes.get(slot.kind, self.arithmetic.itemsize))

    def __call__(
        self,
        lq: Floats,
        sr: Floats,
        given: NDArray[np.bool_] | None,
        found: NDArray[np.bool_],
        threshold: float,
        threads: int,
        timer: Timer | None = None,
    ) -> None:
        """Super-resolve an image.

        Args:
            lq: (num_in_ch, H, W), contiguous.
            sr: (num_out_ch, H·s, W·s), contiguous; written.
            given: Masks (K, H, W) to use in place of those that would be decided.
            found: (K, H, W); the masks that were applied are written.
            threshold: A pixel is important where logit 1 − logit 0 exceeds this.
            threads: How many threads the kernels use.
            timer: Where to add the time of each part.
        """
        schedule = self._schedule_for(*lq.shape[1:])
        with self.pool.lend(*lq.shape[1:]) as planes, np.errstate(all="ignore"):
            run = Run(self.kernels, planes, threads)  # an image may hold anything
            image = Image(run, self.arithmetic, schedule.places, lq, sr, threshold, given, found)
            for operation, done in zip(schedule.operations, schedule.done, strict=True):
                if timer is None:
                    operation.compute(image)
                else:
                    _timed(operation, image, timer)
                for mask in done:
                    del image.masks[mask]


def _timed(operation: Operation, image: Image, timer: Timer) -> None:
    timer.block = operation.block
    with timer(operation.part):
        operation.compute(image)
    timer.block = None


def _lines(channels: int, itemsize: int) -> int:
    """Return the bytes of a pixel in whole cache lines."""
    return rounded_up(channels * itemsize, CACHE_LINE)
