"""thop and fvcore on a converted network, which they do not see into without a rule."""

from __future__ import annotations

import importlib

import pytest
import torch
from networks import tiny_smsr
from opinions import thop_itself

from smsr_plugin import to_sparse
from smsr_plugin.complexity.counter import OPERATOR, count_for_thop, for_fvcore


@pytest.fixture
def run():
    """Return a converted network, an image, and the multiply-adds that it keeps of it."""
    net = to_sparse(tiny_smsr(num_feat=16).float())
    x = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    stats = net(x, return_stats=True)[1]
    assert 0 < stats.kept < 1
    return net, x, stats.macs[0]


def test_thop(run):
    net, x, macs = run
    rules = {type(net): count_for_thop}
    assert thop_itself().profile(net, (x,), custom_ops=rules, verbose=False)[0] == macs


@pytest.mark.filterwarnings(
    "ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning"
)
def test_fvcore(run):
    pytest.importorskip("fvcore")
    analysis = importlib.import_module("fvcore.nn").FlopCountAnalysis
    net, x, macs = run
    counted = analysis(net, x).set_op_handle(OPERATOR, for_fvcore(net, x))
    counted.uncalled_modules_warnings(False)
    assert counted.total() == macs
    assert not counted.unsupported_ops()
