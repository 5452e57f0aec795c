"""Memory that was freed stays with the process.

glibc gives the memory of large tensors back to the system when they are freed, and each page that
it takes anew is a fault: up to a tenth of the time of a training on the CPU. The features of all
iterations have the same sizes, so what was freed is soon used again.
"""

from __future__ import annotations

import ctypes

#: From malloc.h. Whatever is larger than the threshold is still given back at once: glibc 2.36
#: would not find its place again for a tensor of the same size, and take more and more.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
NEVER_TRIM, LARGEST_THRESHOLD = -1, 32 << 20


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; return False where the allocator is not glibc's."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return False
    settings = ((M_MMAP_THRESHOLD, LARGEST_THRESHOLD), (M_TRIM_THRESHOLD, NEVER_TRIM))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
