import pytest
import torch

from smsr_plugin.archs.mask_losses import SparsityLoss, kept_computation


def test_separated_form_equals_the_mean_over_the_whole_tensor():
    torch.manual_seed(0)
    spa = torch.rand(2, 3, 5, 4, dtype=torch.float64)
    ch = torch.rand(1, 3, 6, 2, dtype=torch.float64)
    for k in range(3):
        m = spa[:, k].view(2, 1, 1, 5, 4)
        s = ch[0, k].view(1, 6, 2, 1, 1)
        expected = (s * m + (1 - s)).mean()
        assert kept_computation(spa, ch)[k].item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("spa", "ch", "kept"), [(0, 1, 0), (0, 0, 1), (1, 1, 1), (1, 0, 1)])
def test_extremes(spa, ch, kept):
    spa_mask, ch_mask = torch.full((1, 2, 3, 3), spa), torch.full((1, 2, 4, 2), ch)
    assert kept_computation(spa_mask, ch_mask).tolist() == [kept, kept]


def test_loss_is_the_weighted_mean_over_blocks():
    spa, ch = torch.rand(1, 4, 3, 3), torch.rand(1, 4, 5, 2)
    loss = SparsityLoss(loss_weight=0.3)(spa, ch)
    assert loss.item() == pytest.approx(0.3 * kept_computation(spa, ch).mean().item())


def test_gradient_pushes_towards_sparse_channels_and_unimportant_pixels():
    spa = torch.full((1, 1, 2, 2), 0.5, requires_grad=True)
    ch = torch.full((1, 1, 2, 1), 0.5, requires_grad=True)
    SparsityLoss()(spa, ch).backward()
    assert (spa.grad > 0).all()
    assert (ch.grad < 0).all()


def test_blocks_must_agree():
    with pytest.raises(ValueError, match="same K"):
        kept_computation(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 4, 2))
