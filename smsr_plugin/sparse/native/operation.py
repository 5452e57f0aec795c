"""One operation of a program that was made ready for the native kernels, and what it works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.kernels import Bytes, Floats
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import MaskLists, Run
from smsr_plugin.sparse.native.slots import Access, Place


@dataclass
class Image:
    """An image on its way through a program.

    Attributes:
        run: Kernels, scratch memory, threads.
        arithmetic: Of the features.
        places: Where each plane lies.
        lq: (num_in_ch, H, W).
        sr: (num_out_ch, H·s, W·s), written.
        threshold: Of the masks.
        given: Masks (K, H, W) in place of those that would be decided.
        found: The masks that were applied, (K, H, W), written.
        masks: Lists of the masks that are in use.
        means: Of each channel of a masked plane.
        found_planes: Those that were asked for, by name.
    """

    run: Run
    arithmetic: Arithmetic
    places: dict[str, Place]
    lq: Floats
    sr: Floats
    threshold: float
    given: NDArray[np.bool_] | None
    found: NDArray[np.bool_]
    masks: dict[int, MaskLists] = field(default_factory=dict)
    means: dict[str, Array] = field(default_factory=dict)
    found_planes: dict[str, Plane] = field(default_factory=dict)

    def plane(self, name: str) -> Plane:
        """Return a plane."""
        plane = self.found_planes.get(name)
        if plane is None:
            plane = self.found_planes[name] = self._found(name)
        return plane

    def _found(self, name: str) -> Plane:
        slot, channels = self.places[name].slot, self.places[name].channels
        if slot.kind == FLOATS:
            return self.run.planes.plane(slot.name, channels, room=slot.room)
        if slot.kind in (BYTES, LEVELS):
            dtype = np.uint8 if slot.kind == BYTES else np.int8
            return self.run.planes.plane(slot.name, channels, dtype, room=slot.room)
        return self.arithmetic.plane(self.run.planes, slot.name, channels, room=slot.room)

    def planes(self, names: Sequence[str]) -> list[Plane]:
        """Return several planes."""
        return [self.plane(name) for name in names]

    def activity(self, mask: int) -> Bytes:
        """Return the plane of a mask's activity."""
        return self.run.planes.activity(self.places[activity_name(mask)].slot.name)

    def decide(
        self,
        mask: int,
        mark: Callable[[Bytes], None],
        tiles: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take a mask as given, or as `mark` writes it to a plane of activity; list its pixels.

        Args:
            mask: Which mask.
            mark: Marks pixels as active and inactive.
            tiles: The important tiles, where it is decided by whole ones and only they are listed.
        """
        kernels, activity = self.run.kernels, self.activity(mask)
        height, width = self.run.size
        inside = activity[1 : height + 1, 1 : width + 1]
        if self.given is None:
            mark(activity)
        else:
            inside[:] = np.where(self.given[mask], kernels.ACTIVE, kernels.INACTIVE)
        if tiles is None or self.given is not None:
            self.masks[mask] = MaskLists.of(self.run, activity)
        else:
            self.masks[mask] = MaskLists.of_tiles(activity, tiles)
        np.equal(inside, kernels.ACTIVE, out=self.found[mask])


#: Kinds of planes (see `slots`).
FEATURES, MASKED, BYTES, LEVELS = "features", "masked", "bytes", "levels"
FLOATS, ACTIVITY = "floats", "activity"


def activity_name(mask: int) -> str:
    """Return the name of the plane of a mask's activity; no plane of a program begins so."""
    return f"/activity {mask}"


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes:
        part: What its time is counted as.
        block: The block that it belongs to; None outside of blocks.
        access: What it does with planes.
        compute: Does it.
        makes: The plane of a step that is this operation and no other.
        rows: Rows of lines, of the image's width, that each thread holds beside the planes.
    """

    part: str
    block: int | None
    access: Access
    compute: Callable[[Image], None]
    makes: str = ""
    rows: int = 0
