"""What is told of a run on the native kernels: counts, times; and its threshold."""

from __future__ import annotations

import pytest
import torch
from native_networks import (
    image,
    loud_smsr,
    native,
    per_precision,
    random_masks,
)

from smsr_plugin import to_sparse

pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")


@per_precision
def test_stats_count_what_the_reference_counts(precision):
    net, x = loud_smsr(), image(6, 9, batch=2)
    masks = random_masks(net, x, 0.3)
    _, stats = native(net, precision)(x, spa_mask=masks, return_stats=True)
    reference = to_sparse(net, precision, backend="reference")
    _, expected = reference(x, spa_mask=masks, return_stats=True)
    assert stats.macs == pytest.approx(expected.macs)
    torch.testing.assert_close(stats.spa_density, expected.spa_density)


def test_the_breakdown_names_the_parts():
    sparse = native(loud_smsr())
    seconds = sparse.breakdown(image(8, 8))
    parts = ["head", "masks", "sparse layers", "fuse", "collect", "tail", "bicubic"]
    assert list(seconds) == parts
    assert all(value > 0 for value in seconds.values())
    with pytest.raises(RuntimeError, match="only the native backend"):
        to_sparse(loud_smsr(), backend="reference").breakdown(image(8, 8))


def test_the_parts_are_also_timed_by_block():
    sparse = native(loud_smsr(num_block=3))
    timer = sparse.timed(image(8, 8, batch=2))
    own_parts = ["masks", "sparse layers", "fuse"]
    assert {k: list(parts) for k, parts in timer.block_seconds.items()} == dict.fromkeys(
        range(3), own_parts
    )
    for part in own_parts:
        total = sum(block[part] for block in timer.block_seconds.values())
        assert timer.seconds[part] == pytest.approx(total)


@per_precision
def test_the_threshold_may_be_changed_between_runs(precision):
    net, x = loud_smsr(), image(8, 9)
    sparse = native(net, precision)
    sparse(x)
    for threshold in (0.3, -0.3, float("-inf")):
        sparse.threshold = threshold
        sr, stats = sparse(x, return_stats=True)
        expected, expected_stats = native(net, precision, threshold=threshold)(x, return_stats=True)
        assert torch.equal(stats.spa_mask, expected_stats.spa_mask)
        assert torch.equal(sr, expected)
    assert stats.kept == 1
