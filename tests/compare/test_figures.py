"""Statistics, differences, the floor and memory on known numbers."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from smsr_plugin.compare.costs import floor_seconds, peak_flops
from smsr_plugin.compare.oracle import difference
from smsr_plugin.engines.spec import MATMUL_SIDE
from smsr_plugin.machine import peak_mib, reset_peak, resident_mib
from smsr_plugin.timing import Summary, summarise


def test_median_and_quartiles():
    assert summarise([5.0, 1.0, 2.0, 4.0, 3.0]) == Summary(3, 2, 4)
    assert summarise([4.0, 1.0, 3.0, 2.0]) == Summary(2.5, 1.75, 3.25)
    assert summarise([7.0]) == Summary(7, 7, 7)
    with pytest.raises(ValueError, match="no runs"):
        summarise([])


def test_difference_of_images():
    expected = np.zeros((1, 3, 2, 2))
    output = expected.astype(np.float32)
    assert difference(output, expected) == (0, None)
    output[0, 1, 0, 1] = -0.5
    found = difference(output, expected)
    assert found.max_abs == 0.5
    assert found.psnr == pytest.approx(10 * np.log10(12 / 0.25))
    output[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        difference(output, expected)
    with pytest.raises(ValueError, match=r"\(1, 3, 2\), expected \(1, 3, 2, 2\)"):
        difference(output[..., 0], expected)


def test_the_floor_is_operations_over_the_fastest_matrix_product():
    flops = peak_flops([0.5, 0.25, 1.0])
    assert flops == 2 * MATMUL_SIDE**3 / 0.25
    assert floor_seconds(MATMUL_SIDE**3, flops) == 0.25


@pytest.mark.skipif(peak_mib() is None, reason="memory is known on Linux only")
def test_the_peak_is_seen_after_the_memory_was_freed_and_can_be_reset():
    if not reset_peak():
        pytest.skip("the peak cannot be reset here")
    before = resident_mib()
    with mmap.mmap(-1, 64 << 20) as block:  # not from the heap, which may have kept as much
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
    assert peak_mib() - before == pytest.approx(64, abs=4)
    reset_peak()
    assert peak_mib() - before < 8
