"""The masks that the network on the native kernels predicts, against the oracle."""

from __future__ import annotations

import pytest
import torch
from native_networks import (
    CLOSE,
    image,
    loud_smsr,
    native,
)
from native_planes import inside

from smsr_plugin.sparse.native.run import MaskLists

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")


def recorded_masks(monkeypatch, size):
    """Return a list that fills with the masks that blocks are given, (H, W) each."""
    masks, of = [], MaskLists.of

    def record(run, activity):
        masks.append(torch.from_numpy(inside(activity, *size) == kernels.ACTIVE))
        return of(run, activity)

    monkeypatch.setattr(MaskLists, "of", record)
    return masks


def logits_of(net, x, threshold):
    """Return the oracle's result, and its logits less the threshold, B·K of (H, W)."""
    logits = []
    hooks = [
        block.spa_mask.register_forward_hook(lambda *args: logits.append(args[2][:, 0] - threshold))
        for block in net.blocks
    ]
    out = net(x.double(), threshold=threshold, return_masks=True)
    for hook in hooks:
        hook.remove()
    return out, [block[i] for i in range(len(x)) for block in logits]


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (5, 7), (8, 6), (9, 16), (4, 35)])
@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_predicts_the_oracles_masks(monkeypatch, size, threshold):
    net, x = loud_smsr(num_feat=12), image(*size, batch=3)
    out, logits = logits_of(net, x, threshold)
    assert min(logit.abs().min() for logit in logits) > 1e-5, "no seed for a test of equality"
    masks = recorded_masks(monkeypatch, size)
    sr, stats = native(net, threshold=threshold)(x, return_stats=True)
    assert torch.equal(torch.stack(masks).view_as(out.spa_mask), out.spa_mask > 0)
    torch.testing.assert_close(sr.double(), out.sr, **CLOSE["fp32"])
    torch.testing.assert_close(stats.spa_density, out.spa_mask.mean((2, 3)).float())


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1), (5, 7), (7, 8), (8, 5)])
def test_decides_at_any_threshold_as_the_oracle(monkeypatch, size):
    net, x = loud_smsr(num_feat=12, num_block=1), image(*size)
    _, (logit,) = logits_of(net, x, 0)
    levels = logit.flatten().sort().values
    # Between two neighbouring logits: a pixel that is off by more than their distance is found.
    middle = (levels[1:] + levels[:-1])[levels.diff() > 1e-5] / 2
    for threshold in middle[:: max(1, len(middle) // 12)].tolist():
        with monkeypatch.context() as patch:
            masks = recorded_masks(patch, size)
            native(net, threshold=threshold)(x)
        assert torch.equal(masks[0], logit > threshold)


@pytest.mark.skipif(not kernels.has_half(), reason="this processor has no bfloat16 kernels")
@pytest.mark.parametrize("size", [(5, 7), (8, 6), (14, 13)])
def test_bfloat16_predicts_the_first_masks_up_to_rounding(monkeypatch, size):
    net, x = loud_smsr(num_feat=12), image(*size, batch=2)
    out, logits = logits_of(net, x, 0)
    masks = recorded_masks(monkeypatch, size)
    native(net, "bf16")(x)
    for found, logit in zip(masks[::2], logits[::2], strict=True):
        decided = logit.abs() > 2.0**-6 * logit.abs().max()
        assert decided.double().mean() > 0.8
        assert torch.equal(found[decided], logit[decided] > 0)
    assert 0 < out.spa_mask.mean() < 1
