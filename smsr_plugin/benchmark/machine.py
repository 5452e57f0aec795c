"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
#: Instruction sets that decide how fast convolutions can be.
ISA_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16")
PACKAGES = (
    *("smsr_plugin", "basicsr", "torch", "onnxruntime", "openvino", "ncnn", "pnnx", "onnx"),
    *("spandrel", "numpy"),
)


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
        "load_average": list(os.getloadavg()),
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


def _memory_gib() -> float | None:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None
    return round(size / 2**30, 1)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
