"""Teachers for a larger scale than the student's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.pixels import as_lq
from smsr_plugin.training.model.pretrained import LargerTeacher, build_teacher


@pytest.mark.parametrize("scale", [2, 3])
def test_its_output_is_reduced_as_lq_images_are(scale):
    rng = np.random.default_rng(0)
    enlarged = rng.integers(60, 196, (48, 96, 3), dtype=np.uint8)
    teacher = LargerTeacher(_Fixed(torch.from_numpy(as_lq(enlarged))), scale)
    sr = teacher(torch.zeros(1, 3, 12, 24))
    assert sr.shape == (1, 3, 12 * scale, 24 * scale)
    if scale == 2:  # MATLAB's imresize; at the borders it mirrors, and PyTorch renormalises
        expected = torch.from_numpy(as_lq(downscale(enlarged, 2)))
        inside = (..., slice(4, -4), slice(4, -4))
        # The oracle rounds to whole levels after each of its two passes.
        torch.testing.assert_close(sr[inside], expected[inside], rtol=0, atol=1 / 255)
    assert sr.mean().item() == pytest.approx(as_lq(enlarged).mean(), abs=2e-3)


class _Fixed(nn.Module):
    """A network whose output is known."""

    def __init__(self, sr):
        super().__init__()
        self.sr = sr

    def forward(self, lq):
        return self.sr


@pytest.mark.parametrize("upscale", [2, 3, 4])
def test_a_teacher_may_enlarge_more_but_not_less(tmp_path, upscale):
    weights = tmp_path / "teacher.pth"
    torch.save({"params": RLFN(num_feat=8, upscale=upscale).state_dict()}, weights)
    opt = {
        "scale": 3,
        "network_t": {"type": "RLFN", "num_feat": 8, "upscale": upscale},
        "path": {"pretrain_network_t": str(weights), "ignore_resume_networks": ["network_t"]},
        "train": {"teacher_opt": {"type": "L1Loss"}},
    }
    if upscale == 2:
        with pytest.raises(ValueError, match=r"network_t\.upscale must be at least 3, .* got 2"):
            build_teacher(opt, torch.device("cpu"))
        return
    teacher = build_teacher(opt, torch.device("cpu"))
    assert teacher is not None
    assert not any(p.requires_grad for p in teacher.parameters())
    assert teacher(torch.rand(1, 3, 15, 17)).shape == (1, 3, 45, 51)
