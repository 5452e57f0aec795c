"""Which planes of a program share memory: those that are never needed at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """A plane that a step writes.

    Attributes:
        name: Of the plane.
        channels: How many.
        kind: Planes of different kinds do not share memory: "features"; "masked" for those that
            hold zeros where nothing was computed, "bytes" for those of them that hold bytes,
            "levels" for bytes with a sign;
            "floats" for float32 in any arithmetic.
    """

    name: str
    channels: int
    kind: str


@dataclass(eq=False)
class Slot:
    """Memory for planes that take turns.

    Attributes:
        name: Of the memory.
        kind: As of `Wanted`.
        room: The most channels of its planes.
    """

    name: str
    kind: str
    room: int


@dataclass(frozen=True)
class Access:
    """What a step does with planes.

    Attributes:
        wants: The planes that it writes, adds to, or needs for itself.
        reads: The planes that it reads.
        in_place: A plane that it reads, whose memory the first of `wants` may take.
    """

    wants: Sequence[Wanted] = ()
    reads: Sequence[str] = ()
    in_place: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a plane lies.

    Attributes:
        slot: Its memory.
        channels: Its own, of the room there.
    """

    slot: Slot
    channels: int


def assign(accesses: Sequence[Access]) -> dict[str, Place]:
    """Return each plane's place, given what the steps do, in order."""
    last: dict[str, int] = {}
    for number, access in enumerate(accesses):
        for name in (*access.reads, *(wanted.name for wanted in access.wants)):
            last[name] = number
    slots, found = list[Slot](), dict[str, Place]()
    for number, access in enumerate(accesses):
        # Also what is read for the last time here: it must not be written meanwhile.
        busy = [place.slot for name, place in found.items() if last[name] >= number]
        for wanted in access.wants:
            if wanted.name in found:
                continue
            source = access.in_place
            if source is not None and wanted is access.wants[0] and last[source] == number:
                slot = found[source].slot
            else:
                slot = _take(slots, [slot for slot in slots if slot not in busy], wanted)
            found[wanted.name] = Place(slot, wanted.channels)
            busy.append(slot)
    return found


def _take(slots: list[Slot], free: list[Slot], wanted: Wanted) -> Slot:
    """Return free memory of the kind, best of the size, or new memory."""
    fitting = [slot for slot in free if slot.kind == wanted.kind]
    if wanted.kind in ("masked", "bytes"):  # what is zero in them is known by their lines
        fitting = [slot for slot in fitting if slot.room == wanted.channels]
    if not fitting:
        count = sum(slot.kind == wanted.kind for slot in slots)
        slots.append(Slot(f"{wanted.kind} {count}", wanted.kind, wanted.channels))
        return slots[-1]
    slot = min(fitting, key=lambda slot: abs(slot.room - wanted.channels))
    slot.room = max(slot.room, wanted.channels)
    return slot
