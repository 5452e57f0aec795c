"""A process's resident memory and its peak, as Linux counts them.

VmHWM is the most that was resident at once since the process began or since the peak was reset.
`ru_maxrss` of getrusage would not do: it begins with the size of the process that started this one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
#: What to write to clear_refs to reset the peak (see proc(5)).
RESET_PEAK = "5"


class Memory(NamedTuple):
    """Peak resident memory beyond the imported library, MiB; None where it cannot be known."""

    peak: float | None  #: From loading the network to the last run.
    running: float | None  #: After the warm-up.


def resident_mib() -> float | None:
    """Return the resident memory of this process in MiB, None where it cannot be known."""
    return _field("VmRSS")


def peak_mib() -> float | None:
    """Return the peak of the resident memory in MiB, None where it cannot be known."""
    return _field("VmHWM")


def reset_peak() -> bool:
    """Let the peak begin anew at what is resident now; return False where that is not possible."""
    try:
        CLEAR_REFS.write_text(RESET_PEAK)
    except OSError:
        return False
    return True


def _field(name: str) -> float | None:
    try:
        status = STATUS.read_text()
    except OSError:
        return None
    match = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return None if match is None else int(match[1]) * 1024 / MIB
