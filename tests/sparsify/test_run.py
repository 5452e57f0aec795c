from __future__ import annotations

import torch

from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.sparsify import importance, run


def test_a_fit_makes_do_with_some_pieces_and_takes_the_steps_that_are_told(monkeypatch):
    monkeypatch.setattr(run, "PIECES", 2)
    for module in (run, importance):
        monkeypatch.setattr(module, "STEPS", 3)
    seen = []

    def fit_at_smooth_tiles(net, pieces):
        seen.append(pieces)
        return importance.fit_at_smooth_tiles(net, pieces)

    monkeypatch.setattr(run, "fit_at_smooth_tiles", fit_at_smooth_tiles)
    torch.manual_seed(0)
    pieces = torch.rand(7, 3, 48, 48)
    net = run.masked_form(RLFN(num_feat=4, upscale=2), iters=2)
    assert len(list(run.fit(net, pieces, iters=2))) == run.steps(7, 6, 2) == 2 * 1 + 3 + 6 + 2
    assert torch.equal(seen[0], pieces[::3])
    assert net.density_curve is not None
