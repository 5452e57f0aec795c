"""The machine: what it is, how much memory there is, what a process takes and keeps of it."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from pathlib import Path
from typing import Any, NamedTuple

try:
    import resource
except ImportError:  # on Windows
    resource = None

CPUINFO = Path("/proc/cpuinfo")
PROCESSORS = Path("/sys/devices/system/cpu")
CACHES = PROCESSORS / "cpu0/cache"
#: Instruction sets that decide how fast convolutions can be.
ISA_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16")
PACKAGES = (
    *("smsr_plugin", "basicsr", "torch", "onnxruntime", "openvino", "ncnn", "pnnx", "onnx"),
    *("nncf", "spandrel", "numpy"),
)

#: What is taken for available where the system does not tell.
FALLBACK = 4 << 30
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/proc/self/cgroup")
CGROUP_ROOT = Path("/sys/fs/cgroup")
#: How Linux's control groups, version 2 and 1, tell of memory: by which line of `CGROUP`, where
#: below the root, the files of limit and use, and in memory.stat what is given up first: cached
#: files that nothing reads.
GROUPS = (
    (r"^0::(/.*)$", "", "memory.max", "memory.current", "inactive_file"),
    (r"^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(/.*)$", "memory", "memory.limit_in_bytes",
     "memory.usage_in_bytes", "total_inactive_file"),
)  # fmt: skip

MIB = 1 << 20
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
#: What to write to clear_refs to reset the peak (see proc(5)).
RESET_PEAK = "5"

#: From malloc.h. Whatever is larger than the threshold is still given back at once: glibc 2.36
#: would not find its place again for a tensor of the same size, and take more and more.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
NEVER_TRIM, LARGEST_THRESHOLD = -1, 32 << 20


class Memory(NamedTuple):
    """Peak resident memory beyond the imported library, MiB; None where it cannot be known.

    VmHWM is the most that was resident at once since the process began or since the peak was
    reset. `ru_maxrss` of getrusage would not do: it begins with the size of the process that
    started this one.
    """

    peak: float | None  #: From loading the network to the last run.
    running: float | None  #: After the warm-up.


def describe() -> dict[str, Any]:
    """Return the machine and the software; what cannot be known is None or left out."""
    cpuinfo = _read(CPUINFO)
    flags = (_cpu_field(cpuinfo, "flags") or "").split()
    return {
        "cpu": _cpu_field(cpuinfo, "model name") or platform.processor() or platform.machine(),
        "cpu_family_model_stepping": [
            _cpu_field(cpuinfo, name) for name in ("cpu family", "model", "stepping")
        ],
        "cores": os.cpu_count(),
        "cores_usable": _usable_cores(),
        "isa": [flag for flag in ISA_FLAGS if flag in flags],
        "caches": caches(CACHES),
        "memory_gib": _memory_gib(),
        "load_average": _load_average(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def caches(folder: Path) -> dict[str, str]:
    """Return the sizes of a core's caches, such as {"L1d": "48K"}, from sysfs."""
    sizes = {}
    for index in sorted(folder.glob("index*")):
        level, kind, size = (_read(index / name).strip() for name in ("level", "type", "size"))
        suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
        sizes[f"L{level}{suffix}"] = size
    return sizes


def _cpu_field(cpuinfo: str, name: str) -> str | None:
    match = re.search(rf"^{name}\s*: (.*)$", cpuinfo, re.MULTILINE)
    return match and match[1]


def _usable_cores() -> int | None:
    """Return the number of cores this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return affinity and len(affinity(0))


def default_threads() -> int:
    """Return how many threads compute where nobody said: OMP_NUM_THREADS, else one for each core.

    Of the processors that this process may use those that share a core count once.
    """
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if named.isdigit() and int(named) > 0:
        return int(named)
    affinity = getattr(os, "sched_getaffinity", None)
    usable = affinity(0) if affinity else range(os.cpu_count() or 1)
    cores = {_read(PROCESSORS / f"cpu{n}/topology/thread_siblings_list") or str(n) for n in usable}
    return len(cores)


def _memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # the first on Windows
        return None
    return round(size / 2**30, 1)


def _load_average() -> list[float] | None:
    """Return it over the last 1, 5 and 15 minutes."""
    try:
        return list(os.getloadavg())
    except (AttributeError, OSError):  # the first on Windows
        return None


def _version(package: str) -> str | None:
    from importlib import metadata  # slow to import, and needed here only

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def available_bytes() -> int:
    """Return how many bytes can be used without swapping.

    As Linux says, the limits of a container (control groups), and those of the process (ulimit).
    """
    found = (_meminfo(), *(_left_by_groups(*group) for group in GROUPS), *_own_limits())
    return max(0, min((value for value in found if value is not None), default=FALLBACK))


def _meminfo() -> int | None:
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", _read(MEMINFO), re.MULTILINE)
    return None if match is None else int(match[1]) * 1024


def _left_by_groups(line: str, folder: str, limit: str, used: str, cached: str) -> int | None:
    """Return what the control group of this process and those above it leave; see `GROUPS`."""
    match = re.search(line, _read(CGROUP), re.MULTILINE)
    if match is None:
        return None
    root = CGROUP_ROOT / folder
    group, left = root / match[1].lstrip("/"), []
    while group.is_relative_to(root):
        most, taken = _read(group / limit).strip(), _read(group / used).strip()
        if most.isdigit() and taken.isdigit():
            stat = _read(group / "memory.stat")
            cache = re.search(rf"^{cached} (\d+)$", stat, re.MULTILINE)
            left.append(int(most) - int(taken) + (int(cache[1]) if cache else 0))
        group = group.parent
    return min(left, default=None)


def _own_limits() -> list[int]:
    """Return what `ulimit -v` and `ulimit -d` leave to this process, nothing for no limit."""
    if resource is None:
        return []
    left = []
    for limit, field in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most, used = resource.getrlimit(limit)[0], _field(field)
        if most != resource.RLIM_INFINITY and used is not None:
            left.append(most - int(used * MIB))
    return left


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


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; return False where the allocator is not glibc's.

    glibc gives the memory of large tensors back to the system when they are freed, and each page
    that it takes anew is a fault: up to a tenth of the time of a training on the CPU. The features
    of all iterations have the same sizes, so what was freed is soon used again.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return False
    settings = ((M_MMAP_THRESHOLD, LARGEST_THRESHOLD), (M_TRIM_THRESHOLD, NEVER_TRIM))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
