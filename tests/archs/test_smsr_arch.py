from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import literal_forward, split_channels, tiny_smsr

from smsr_plugin.archs.gumbel import MaskNoise, MaskSeeds
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.smsr_block import sparse_mask_conv
from smsr_plugin.config import SMSRConfig

#: float64 sums of a few thousand terms in another order
CLOSE = {"rtol": 1e-11, "atol": 1e-12}


@given(
    batch=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    upscale=st.sampled_from([2, 3, 4]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_eval_equals_the_papers_formula(batch, height, width, upscale, seed):
    net = tiny_smsr(seed, upscale=upscale)
    x = torch.rand(batch, 3, height, width, dtype=torch.float64)
    out = net(x, return_masks=True)
    assert out.sr.shape == (batch, 3, height * upscale, width * upscale)
    assert set(out.spa_mask.unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(out.sr, literal_forward(net, x, out.spa_mask, out.ch_mask), **CLOSE)


def test_training_equals_the_papers_formula_with_its_soft_masks():
    net = tiny_smsr().train()
    x = torch.rand(2, 3, 7, 6, dtype=torch.float64)
    out = net(x, tau=0.7, return_masks=True)
    assert 0 < out.spa_mask.min() < out.spa_mask.max() < 1
    torch.testing.assert_close(out.sr, literal_forward(net, x, out.spa_mask, out.ch_mask), **CLOSE)


def test_masks_of_a_sample_follow_its_seed_wherever_it_is_in_which_batch():
    net = tiny_smsr().train()
    x = torch.rand(3, 3, 6, 5, dtype=torch.float64)
    seeds = torch.tensor([5, 2**62, 5])

    def noise_of(lq, samples, channels=9):
        return MaskNoise.draw(net.config, lq, MaskSeeds(samples, channels))

    together = net(x, return_masks=True, noise=noise_of(x, seeds))
    torch.manual_seed(0)  # of no account
    for index in (2, 0, 1):
        lq = x[index : index + 1]
        alone = net(lq, return_masks=True, noise=noise_of(lq, seeds[index : index + 1]))
        torch.testing.assert_close(together.spa_mask[index : index + 1], alone.spa_mask, **CLOSE)
        torch.testing.assert_close(together.ch_mask, alone.ch_mask, **CLOSE)
    blocks = together.spa_mask[0]
    assert not torch.equal(blocks[0], blocks[1])
    other = net(x, return_masks=True, noise=noise_of(x, seeds, channels=8))
    assert not torch.equal(together.ch_mask, other.ch_mask)


def test_gradients_equal_those_of_the_papers_formula():
    torch.manual_seed(1)
    shape = {"x": (2, 4, 5, 6), "weight": (5, 4, 3, 3), "m": (2, 1, 5, 6), "d": (5,), "d_in": (4,)}
    values = {k: torch.rand(v, dtype=torch.float64, requires_grad=True) for k, v in shape.items()}
    ours = sparse_mask_conv(*(values[k] for k in shape))
    x, weight, m, d, d_in = values.values()
    d_col, d_in_col = d.view(1, -1, 1, 1), d_in.view(1, -1, 1, 1)
    g_d = torch.nn.functional.conv2d(d_in_col * x, weight, padding=1)
    g_s = torch.nn.functional.conv2d((1 - d_in_col) * x, weight, padding=1)
    literal = d_col * g_d + m * (1 - d_col) * g_d + m * d_col * g_s + m * (1 - d_col) * g_s
    seed = torch.rand_like(ours)
    expected = torch.autograd.grad(literal, list(values.values()), seed)
    got = torch.autograd.grad(ours, list(values.values()), seed)
    torch.testing.assert_close(got, expected, **CLOSE)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 7), (5, 3)])
def test_every_size_trains_and_infers(size):
    net = tiny_smsr()
    x = torch.rand(1, 3, *size, dtype=torch.float64)
    assert net(x).isfinite().all()
    net.train()(x, tau=1.0).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.blocks.parameters())


@pytest.mark.parametrize("dense", [[], [0, 1, 2, 3, 4, 5]], ids=["all-sparse", "all-dense"])
def test_channels_of_one_class_only(dense):
    net = split_channels(tiny_smsr(), [[dense] * 3] * 2)
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    out = net(x, return_masks=True)
    assert out.ch_mask.unique().tolist() == [0.0 if dense else 1.0]
    torch.testing.assert_close(out.sr, literal_forward(net, x, out.spa_mask, out.ch_mask), **CLOSE)


def test_tied_channel_logits_are_dense():
    net = tiny_smsr()
    torch.nn.init.constant_(net.blocks[0].ch_mask, 0.25)
    assert net.channel_masks()[0, 0].unique().tolist() == [0.0]


def test_threshold_is_monotone_and_moves_only_the_spatial_masks():
    net = tiny_smsr(num_block=1)
    x = torch.rand(1, 3, 12, 12, dtype=torch.float64)
    masks = [net(x, threshold=t, return_masks=True).spa_mask for t in (-1e9, -1.0, 0.0, 1.0, 1e9)]
    assert masks[0].min() == 1
    assert masks[-1].max() == 0
    assert all((low >= high).all() for low, high in pairwise(masks))


def test_given_masks_are_used():
    net = tiny_smsr()
    x = torch.rand(2, 3, 5, 5, dtype=torch.float64)
    mask = (torch.rand(2, 2, 5, 5, dtype=torch.float64) > 0.5).double()
    out = net(x, spa_mask=mask, return_masks=True)
    assert torch.equal(out.spa_mask, mask)
    torch.testing.assert_close(out.sr, literal_forward(net, x, mask, out.ch_mask), **CLOSE)


def test_spatial_mask_at_odd_sizes_repeats_the_border():
    net = tiny_smsr()
    predict = net.blocks[0].spa_mask
    feature = torch.rand(1, 6, 5, 7, dtype=torch.float64)
    padded = torch.cat([feature, feature[:, :, -1:]], 2)
    padded = torch.cat([padded, padded[..., -1:]], 3)
    torch.testing.assert_close(predict(feature), predict(padded)[..., :5, :7])


def test_the_channel_noise_is_shared_by_the_batch_and_drawn_anew_each_forward():
    net = tiny_smsr().train()
    x = torch.rand(3, 3, 4, 4, dtype=torch.float64)
    first, second = (net(x, return_masks=True) for _ in range(2))
    assert first.ch_mask.shape == (1, 2, 6, 3)
    assert not torch.equal(first.ch_mask, second.ch_mask)
    assert not torch.equal(first.spa_mask[0], first.spa_mask[1])


@pytest.mark.parametrize(("upscale", "thousands"), [(2, 985), (3, 993), (4, 1006)])
def test_parameter_counts_are_the_papers(upscale, thousands):
    net = SMSR(upscale=upscale)
    count = sum(p.numel() for name, p in net.named_parameters() if not name.endswith("ch_mask"))
    assert round(count / 1000) == thousands


def test_img_range_scales_inside_only():
    narrow = tiny_smsr()
    wide = SMSR(**{**narrow.config.to_dict(), "img_range": 255.0}).double().eval()
    state = {**narrow.state_dict(), "img_range": wide.img_range}
    state["head.0.weight"] = state["head.0.weight"] / 255
    state["tail.0.weight"] = state["tail.0.weight"] * 255
    state["tail.0.bias"] = state["tail.0.bias"] * 255
    wide.load_state_dict(state)
    x = torch.rand(1, 3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(wide(x), narrow(x), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 1, 4, 4), (1, 3, 0, 4), (0, 3, 4, 4)])
def test_wrong_input_says_what_is_expected(shape):
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        tiny_smsr()(torch.zeros(shape))


def test_wrong_mask_says_what_is_expected():
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 4\)"):
        tiny_smsr()(torch.zeros(1, 3, 4, 4).double(), spa_mask=torch.zeros(1, 1, 4, 4))


def test_config_round_trip():
    config = SMSRConfig(num_feat=4, num_block=1, num_layer=2, upscale=4)
    assert SMSR.from_config(config).config == config
