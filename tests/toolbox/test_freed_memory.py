from __future__ import annotations

import os
import subprocess
import sys

import pytest

from smsr_plugin.toolbox import freed_memory

#: Prints the page faults of allocating and freeing the same tensors, but for the first times.
ITERATE = """
import resource, sys
import torch
from smsr_plugin.toolbox.freed_memory import keep_freed_memory

if sys.argv[1] == "keep":
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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator of glibc")
def test_freed_memory_is_used_again():
    if not hasattr(freed_memory.ctypes.CDLL(None), "mallopt"):
        pytest.skip("another C library than glibc")
    # A threshold that is set does not move: each tensor's memory is given back at once.
    faults, env = {}, {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}
    for how in ("keep", "leave"):
        command = [sys.executable, "-c", ITERATE, how]
        faults[how] = int(subprocess.run(command, check=True, capture_output=True, env=env).stdout)
    assert faults["keep"] < 0.1 * faults["leave"]


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_without_glibc_nothing_is_done(monkeypatch, error):
    def absent(name):
        raise error

    monkeypatch.setattr(freed_memory.ctypes, "CDLL", absent)
    assert not freed_memory.keep_freed_memory()
