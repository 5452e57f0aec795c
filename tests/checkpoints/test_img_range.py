"""The range of values folded into weights."""

from __future__ import annotations

import pytest
import torch
from networks import tiny_smsr

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.keys import fold_img_range


class TestFoldImgRange:
    @pytest.mark.parametrize(("before", "after"), [(255.0, 1.0), (1.0, 255.0), (2.0, 0.3)])
    def test_function_is_the_same(self, before, after, image):
        net = tiny_smsr(img_range=before)
        folded = tiny_smsr(seed=1, img_range=after)
        folded.load_state_dict(fold_img_range(net.state_dict(), after))
        with torch.no_grad():
            expected = net(image.double(), return_masks=True)
            actual = folded(image.double(), return_masks=True)
        assert torch.allclose(actual.sr, expected.sr, rtol=0, atol=1e-12)
        assert torch.equal(actual.spa_mask, expected.spa_mask)

    def test_powers_of_two_are_exact_and_the_input_is_not_changed(self):
        state = tiny_smsr(img_range=256.0).float().state_dict()
        before = {key: value.clone() for key, value in state.items()}
        back = fold_img_range(fold_img_range(state, 1), 256)
        for key, value in before.items():
            assert torch.equal(state[key], value)
            assert torch.equal(back[key], value)
            assert back[key].dtype == value.dtype

    @pytest.mark.parametrize("img_range", [0, -1.0, float("nan"), float("inf")])
    def test_impossible_range_is_refused(self, img_range, net):
        with pytest.raises(CheckpointError, match="finite and above 0"):
            fold_img_range(net.state_dict(), img_range)

    def test_other_state_dicts_are_refused(self):
        with pytest.raises(CheckpointError, match=r"head\.0\.weight, .*img_range missing"):
            fold_img_range({}, 1)
