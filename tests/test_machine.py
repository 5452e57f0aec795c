"""What the system says of memory is left, and what a process keeps of what it freed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from smsr_plugin import machine
from smsr_plugin.machine import available_bytes

#: Prints the page faults of allocating and freeing the same tensors, but for the first times: with
#: and without the freed memory kept.
ITERATE = """
import os, resource
import torch
from smsr_plugin.machine import keep_freed_memory

if os.fork():
    os.wait()
else:
    assert keep_freed_memory()
for turn in range(8):
    if turn == 4:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(2 << 20) for _ in range(6)]
    while tensors:
        tensors.pop()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def test_what_windows_does_not_tell_is_none(monkeypatch):
    for name in ("sysconf", "getloadavg", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    found = machine.describe()
    assert (found["memory_gib"], found["load_average"], found["cores_usable"]) == (None,) * 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator of glibc")
def test_freed_memory_is_used_again():
    if not hasattr(machine.ctypes.CDLL(None), "mallopt"):
        pytest.skip("another C library than glibc")
    # A threshold that is set does not move: each tensor's memory is given back at once.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}
    command = [sys.executable, "-c", ITERATE]
    done = subprocess.run(command, check=True, capture_output=True, env=env)
    kept, left = map(int, done.stdout.split())
    assert kept < 0.1 * left


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_without_glibc_nothing_is_done(monkeypatch, error):
    def absent(name):
        raise error

    monkeypatch.setattr(machine.ctypes, "CDLL", absent)
    assert not machine.keep_freed_memory()


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Return a function that says what the system tells."""
    root = tmp_path / "cgroup"
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "self")
    monkeypatch.setattr(machine, "CGROUP_ROOT", root)

    def tell(meminfo: str = "", group: str = "", **files: str) -> None:
        (tmp_path / "meminfo").write_text(meminfo)
        (tmp_path / "self").write_text(group)
        for name, text in files.items():
            path = root / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return tell


def test_what_the_system_says_is_left(system):
    assert available_bytes() == machine.FALLBACK
    system(meminfo="MemTotal:  9 kB\nMemAvailable:   3000 kB\n")
    assert available_bytes() == 3000 * 1024
    system("MemAvailable: 3000 kB\n", "0::/\n", memory_max="max\n", memory_current="5\n")
    assert available_bytes() == 3000 * 1024


def test_a_containers_limit_counts_if_it_is_nearer(system):
    limits = {"memory_max": "2000000\n", "memory_current": "1500000\n"}
    system("MemAvailable: 3000 kB\n", "4:memory:/old\n0::/a/b\n", **limits)
    assert available_bytes() == 500000
    system("MemAvailable: 3000 kB\n", "0::/a/b\n", memory_stat="anon 1\ninactive_file 300000\n")
    assert available_bytes() == 800000
    inner = {"a__memory_max": "900000\n", "a__memory_current": "1000000\n"}
    system("MemAvailable: 3000 kB\n", "0::/a/b\n", **inner)
    assert available_bytes() == 0


def test_the_first_version_of_control_groups_is_heeded(system):
    system("MemAvailable: 3000 kB\n", "4:cpu:/x\n9:hugetlb,memory:/docker/x\n")
    assert available_bytes() == 3000 * 1024
    root = machine.CGROUP_ROOT / "memory/docker/x"
    root.mkdir(parents=True)
    (root / "memory.limit_in_bytes").write_text("2000000\n")
    (root / "memory.usage_in_bytes").write_text("1500000\n")
    assert available_bytes() == 500000
    (root / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 100000\n")
    assert available_bytes() == 600000
    (root / "memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")  # which stands for none
    assert available_bytes() == 3000 * 1024


LIMITED = """
import resource, sys
from smsr_plugin.machine import available_bytes
free = available_bytes()
pages = {"AS": 0, "DATA": 5}[sys.argv[1]]
used = int(open("/proc/self/statm").read().split()[pages]) * resource.getpagesize()
limit = getattr(resource, f"RLIMIT_{sys.argv[1]}")
resource.setrlimit(limit, (used + (100 << 20), resource.RLIM_INFINITY))
print(free, available_bytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a process takes")
@pytest.mark.parametrize("limit", ["AS", "DATA"])
def test_limits_of_the_process_are_heeded(limit):
    command = [sys.executable, "-c", LIMITED, limit]
    free, left = map(int, subprocess.check_output(command, text=True, timeout=60).split())
    assert 90 << 20 < left < 102 << 20 < free  # statm counts the stack as well
