import pytest
import torch

from smsr_plugin.archs.gumbel import MaskNoise, hard_mask, logit_difference, soft_mask
from smsr_plugin.config import SMSRConfig


@pytest.mark.parametrize("tau", [0.4, 1.0])
def test_soft_mask_has_the_distribution_of_two_class_gumbel_softmax(tau):
    torch.manual_seed(0)
    logits = torch.tensor([0.3, -0.5]).expand(2_000_000, 2)
    uniform = torch.rand_like(logits)
    expected = torch.softmax((logits - (-uniform.log()).log()) / tau, -1)[:, 1]
    drawn = soft_mask(logit_difference(logits, -1)[:, 0], tau)
    quantiles = torch.linspace(0.05, 0.95, 19)
    torch.testing.assert_close(
        drawn.quantile(quantiles), expected.quantile(quantiles), atol=6e-3, rtol=0
    )


def test_soft_mask_sharpens_as_tau_falls():
    torch.manual_seed(0)
    difference = torch.randn(10_000)
    distance = [(soft_mask(difference, tau) - 0.5).abs().mean() for tau in (1.0, 0.4, 0.05)]
    assert distance[0] < distance[1] < distance[2]
    assert distance[2] > 0.48


def test_soft_mask_passes_finite_gradients_at_extreme_logits():
    torch.manual_seed(0)
    difference = torch.tensor([-1e4, -50.0, 0.0, 50.0, 1e4], requires_grad=True)
    mask = soft_mask(difference, 0.4)
    mask.sum().backward()
    assert mask.isfinite().all()
    assert difference.grad.isfinite().all()


def test_soft_mask_of_half_precision_logits_is_float32():
    assert soft_mask(torch.zeros(3, dtype=torch.bfloat16), 1.0).dtype == torch.float32


def test_hard_mask_is_strict_so_a_tie_is_class_0():
    difference = torch.tensor([-1.0, 0.0, 1e-6, 2.0])
    assert hard_mask(difference).tolist() == [0, 0, 1, 1]
    assert hard_mask(difference, threshold=2.0).tolist() == [0, 0, 0, 0]
    assert hard_mask(difference, threshold=-2.0).tolist() == [1, 1, 1, 1]


def test_tau_must_be_positive():
    with pytest.raises(ValueError, match="tau"):
        soft_mask(torch.zeros(1), 0.0)


def test_given_noise_is_used():
    difference, noise = torch.tensor([0.5, -2.0]), torch.tensor([1.0, 3.0])
    expected = torch.sigmoid(torch.tensor([3.0, 2.0]))
    torch.testing.assert_close(soft_mask(difference, 0.5, noise), expected)


def test_noise_of_a_batch_is_that_of_its_parts():
    torch.manual_seed(0)
    noise = MaskNoise.draw(
        SMSRConfig(num_feat=4, num_block=2, num_layer=3), torch.zeros(5, 3, 6, 7)
    )
    assert noise.spa.shape == (5, 2, 6, 7)
    assert noise.ch.shape == (1, 2, 4, 3)
    parts = noise.split(3)
    assert [len(part.spa) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.spa for part in parts]), noise.spa)
    assert all(torch.equal(part.ch, noise.ch) for part in parts)
