from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from networks import split_channels, stats_of, tiny_smsr
from opinions import thop_itself
from smsr_cost import SMSRCost, dense_channels
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.complexity.counter import Complexity, lq_size, profile
from smsr_plugin.config import SMSRConfig
from smsr_plugin.training.registration import build_architecture

#: The released x2 weights' dense channels, and what they cost at 640×360 in G.
RELEASED_COUNTS = [[24, 9, 3, 0], [16, 4, 1, 0], [16, 7, 1, 0], [3, 0, 0, 0], [14, 5, 0, 0]]
PUBLISHED = 0.005  # relative: the paper rounds, and counts the transposed convolution fourfold
OUTPUT = (720, 1280)


def operations(call, *inputs) -> int:
    """Return the multiply-adds that torch's own counter sees."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*inputs)
    return counter.get_total_flops() // 2


def counted_dense(net: SMSR, height: int, width: int) -> int:
    """Count each layer of a network run on its own, as torch's counter sees it."""
    c, k = net.config.num_feat, net.config.num_block
    feature = torch.zeros(1, c, height, width)
    total = operations(net.head, torch.zeros(1, net.config.num_in_ch, height, width))
    total += operations(net.collect, feature.repeat(1, k, 1, 1)) + operations(net.tail, feature)
    for block in net.blocks:
        total += operations(block.spa_mask, feature) + operations(block.attention, feature)
        total += operations(block.fuse, feature.repeat(1, net.config.num_layer, 1, 1))
        total += sum(operations(conv, feature) for conv in block.convs)
    return total


def counted_masked(net: SMSR, spa_masks: torch.Tensor) -> int:
    """Count the blocks' layers and fuses value by value from hard masks.

    For each layer, output channel and pixel that is computed: nine taps of each input channel
    that exists there. For the fuse: each channel that exists at the pixel meets C outputs.
    """
    c, total = net.config.num_feat, 0
    for k, block in enumerate(net.blocks):
        sparse = block.ch_mask[0, ..., 1] > block.ch_mask[0, ..., 0]
        for row, column in itertools.product(*map(range, spa_masks.shape[2:])):
            important = bool(spa_masks[0, k, row, column])
            exists = [True] * c
            for layer in range(net.config.num_layer):
                computed = [important or not sparse[out, layer] for out in range(c)]
                for is_computed in computed:
                    total += 9 * sum(exists) if is_computed else 0
                total += c * sum(computed)
                exists = computed
    return total


class TestFormula:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"upscale": 3, "num_feat": 10},
            {"upscale": 4, "num_layer": 1, "num_in_ch": 1, "num_out_ch": 1, "rgb_mean": (0.5,)},
            {"num_feat": 32, "num_block": 1},
        ],
    )
    def test_dense_network_costs_what_its_layers_compute(self, options):
        net = tiny_smsr(**options).float()
        expected = counted_dense(net, 6, 8)
        assert SMSRCost(net.config).dense_macs(6 * 8) == expected
        assert profile(net, (6, 8), net.config.num_in_ch).macs == expected

    @pytest.mark.parametrize("seed", range(4))
    def test_masked_network_costs_what_is_counted_value_by_value(self, seed):
        generator = torch.Generator().manual_seed(seed)
        net = tiny_smsr(seed)
        masks = (torch.rand(1, 2, 5, 4, generator=generator) > 0.6).double()
        cost = SMSRCost(net.config, dense_channels(net))
        outside = cost.head + cost.mask + cost.collect + cost.tail
        expected = counted_masked(net, masks) + outside * 20 + cost.attention
        assert cost.macs(masks.mean((0, 2, 3)).tolist(), 20) == expected

    @pytest.mark.parametrize(
        ("upscale", "params", "macs", "kept", "kept_macs"),
        [
            (2, 985e3, 224.1e9, 0.51, 131.6e9),
            (3, 993e3, 100.5e9, 0.61, 67.8e9),
            (4, 1006e3, 57.2e9, 0.67, 41.6e9),
        ],
    )
    def test_published_size_and_cost(self, upscale, params, macs, kept, kept_macs):
        config = SMSRConfig(upscale=upscale)
        size = lq_size(OUTPUT, upscale)
        pixels = size[0] * size[1]
        with torch.device("meta"):
            net = SMSR.from_config(config)
        complexity = profile(net, size)
        assert complexity.params - complexity.mask_params == pytest.approx(params, abs=500)
        assert complexity.mask_params == 5 * 4 * 64 * 2
        cost = SMSRCost(config)
        assert complexity.macs == pytest.approx(macs, rel=PUBLISHED)
        assert cost.dense_macs(pixels) == pytest.approx(macs, rel=PUBLISHED)
        # The paper's densities are rounded to 0.01, which is 0.01·SMM of the multiply-adds.
        fixed = cost.dense_macs(pixels) - cost.smm * pixels
        assert fixed + kept * cost.smm * pixels == pytest.approx(
            kept_macs, rel=PUBLISHED, abs=0.005 * cost.smm * pixels
        )

    def test_released_weights_cost_what_was_published(self):
        cost, gigapixels = SMSRCost(SMSRConfig(), RELEASED_COUNTS), 640 * 360 / 1e9
        parts = [cost.head, cost.mask, cost.collect, cost.tail]
        parts += [sum(cost.smm_dense), sum(cost.smm_sparse)]
        assert [part * gigapixels for part in parts] == pytest.approx(
            [8.9, 11.4, 13.2, 1.6, 12.2, 176.5], rel=PUBLISHED
        )

    def test_extremes_of_the_masks(self):
        config = SMSRConfig(num_feat=6, num_layer=3, num_block=2)
        none, every = SMSRCost(config, [[0] * 3] * 2), SMSRCost(config)
        assert none.smm_dense == (0, 0)
        assert every.smm_sparse == (0, 0)
        assert none.smm == every.smm
        assert none.macs([1, 1], 7) == every.macs([0, 0], 7) == every.dense_macs(7)
        assert none.macs([0, 0], 7) == round(
            7 * (none.head + none.mask + none.collect + none.tail) + none.attention
        )

    @pytest.mark.parametrize(
        "counts", [[[1, 1, 1]], [[1, 1], [1, 1]], [[7, 0, 0]] * 2, [[-1, 0, 0]] * 2]
    )
    def test_dense_channels_that_do_not_fit_are_refused(self, counts):
        with pytest.raises(ValueError, match="2 blocks of 3 numbers in 0…6"):
            SMSRCost(SMSRConfig(num_feat=6, num_layer=3, num_block=2), counts)

    @pytest.mark.parametrize("densities", [[0.5], [0.5, 1.1], [-0.1, 0], [float("nan"), 0]])
    def test_densities_that_do_not_fit_are_refused(self, densities):
        with pytest.raises(ValueError, match="2 spatial densities in 0…1"):
            SMSRCost(SMSRConfig(num_block=2)).macs(densities, 10)

    def test_lq_size_covers_the_output(self):
        assert [lq_size(OUTPUT, s) for s in (1, 2, 3, 4)] == [
            (720, 1280),
            (360, 640),
            (240, 427),
            (180, 320),
        ]


class Functions(nn.Module):
    """Computes between its layers, reuses one, and has layers that do not count."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.grouped = nn.Conv2d(4, 4, (1, 3), groups=2, stride=2)
        self.up = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2)
        self.linear = nn.Linear(6, 5)
        self.free = nn.Sequential(
            nn.BatchNorm2d(4), nn.PReLU(4), nn.AvgPool2d(1), nn.Upsample(scale_factor=1)
        )
        self.norm, self.softmax = nn.LayerNorm(5), nn.Softmax(1)
        self.pool = nn.AdaptiveAvgPool2d(4)

    def forward(self, x):
        x = self.free(self.conv(self.conv(x)[:, :3]))
        x = self.up(self.grouped(x))
        tokens = self.softmax(self.norm(self.linear(x.flatten(2).transpose(1, 2))))
        return self.pool(x), tokens @ tokens.transpose(1, 2)


class TestProfile:
    def test_layers_and_products_between_them(self):
        # 8×8 → conv 8×8 twice → grouped (1×3, stride 2) 4×3 → transposed, input 4×3 → 7×5
        layers = 2 * 64 * 4 * 3 * 9 + 12 * 4 * 2 * 3 + 12 * 4 * 3 * 9 + 35 * 6 * 5
        net = Functions()
        assert profile(net, (8, 8)).macs == layers + 35 * 5 * 35
        assert profile(net, (8, 8)).macs == operations(net.eval(), torch.zeros(1, 3, 8, 8))

    def test_transposed_convolution_counts_at_its_input(self):
        net = nn.Sequential(nn.ConvTranspose2d(3, 2, 3, stride=2))
        expected = Complexity(3 * 2 * 9 + 2, macs=5 * 7 * 3 * 2 * 9, activations=2 * 11 * 15)
        assert profile(net, (5, 7)) == expected

    def test_a_single_layer_is_a_network(self):
        expected = Complexity(20, macs=5 * 7 * 18, activations=5 * 7 * 2)
        assert profile(nn.Conv2d(1, 2, 3, padding=1), (5, 7), 1) == expected

    def test_products_alone_are_counted(self):
        class Product(nn.Module):
            def forward(self, x):
                return F.linear(x, torch.ones(3, x.shape[-1], device=x.device))

        assert profile(Product(), (5, 7)).macs == 3 * 5 * 7 * 3

    @pytest.mark.parametrize(
        ("layer", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)], ids=lambda x: str(x)
    )
    def test_recurrent_layers_are_the_products_of_their_gates(self, layer, gates):
        class Recurrent(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = layer(7, 4, batch_first=True)

            def forward(self, x):
                return self.layer(x.flatten(0, 1))[0]

        # Each of 3 sequences of 5 steps: every gate meets 7 inputs and 4 of the step before.
        assert profile(Recurrent(), (5, 7)).macs == 3 * 5 * gates * 4 * (7 + 4)

    @pytest.mark.parametrize("heads", [1, 2])
    def test_attention_is_its_products(self, heads):
        class Attention(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.MultiheadAttention(6, heads, batch_first=True)

            def forward(self, x):
                x = x.flatten(0, 1)
                return self.layer(x, x, x)[0] + F.scaled_dot_product_attention(x, x, x)

        # 3 sequences of 5 tokens: four 6×6 layers; then tokens with tokens, twice, and once more.
        products = 3 * 2 * 5 * 5 * 6
        assert profile(Attention(), (5, 6)).macs == 3 * 5 * 4 * 6 * 6 + 2 * products

    @pytest.mark.parametrize("name", ["RLFN", "IMDN", "PAN", "CARN", "SPAN", "EDSR"])
    def test_thop_is_of_the_same_opinion(self, name):
        thop = thop_itself()
        net = build_architecture(name, {}, 2).net.eval()
        counted = (nn.Conv2d, nn.Linear)
        from thop.profile import register_hooks
        from thop.vision.basic_hooks import zero_ops

        rules = {kind: zero_ops for kind in register_hooks if not issubclass(kind, counted)}
        theirs, _ = thop.profile(net, (torch.zeros(1, 3, 16, 18),), rules, verbose=False)
        assert profile(net, (16, 18)).macs == theirs

    def test_network_is_left_as_it_was(self, capsys):
        net = tiny_smsr().float().train()
        net.blocks[0].eval()
        before = {key: value.clone() for key, value in net.state_dict().items()}
        modes = [module.training for module in net.modules()]
        random_state = torch.get_rng_state()
        first = profile(net, (6, 8))
        assert profile(net, (6, 8)) == first
        after = net.state_dict()
        assert after.keys() == before.keys()
        assert all(torch.equal(value, before[key]) for key, value in after.items())
        assert [module.training for module in net.modules()] == modes
        assert torch.equal(torch.get_rng_state(), random_state)
        for module in net.modules():
            assert not module._forward_hooks
            assert not hasattr(module, "total_ops")
        assert capsys.readouterr() == ("", "")

    def test_input_that_does_not_fit_is_told(self):
        with pytest.raises(ValueError, match=r"Conv2d cannot be run on .*\(1, 4, 5, 5\)"):
            profile(nn.Conv2d(3, 1, 1), (5, 5), 4)


class TestMeasured:
    def test_dense_channels_are_counted(self):
        net = split_channels(tiny_smsr(), [[[0, 2, 3], [], [5]], [[1], [0, 1, 2, 3, 4, 5], []]])
        assert dense_channels(net) == ((3, 0, 1), (1, 6, 0))
        assert dense_channels(net.train()) == ((3, 0, 1), (1, 6, 0))

    def test_a_tie_is_dense(self):
        net = tiny_smsr()
        with torch.no_grad():
            net.blocks[0].ch_mask.zero_()
        assert dense_channels(net)[0] == (6, 6, 6)

    def test_cost_of_an_image_is_that_of_its_masks(self):
        net = tiny_smsr(num_block=3)
        image = torch.rand(1, 3, 6, 8).double()
        masks = net(image, return_masks=True).spa_mask
        result = stats_of(net, image)
        assert 0 < masks.mean() < 1
        assert result.spa_density[0].tolist() == pytest.approx(masks.mean((0, 2, 3)).tolist())
        cost = SMSRCost(net.config)
        outside = cost.dense_macs(48) - cost.smm * 48
        assert result.macs == (counted_masked(net, masks) + outside,)
        assert result.macs_dense == counted_dense(net.float(), 6, 8)
        assert result.kept == result.macs[0] / result.macs_dense < 1

    def test_threshold_moves_the_density(self):
        net, image = tiny_smsr(), torch.rand(1, 3, 6, 8).double()
        every, none = stats_of(net, image, -1e9), stats_of(net, image, 1e9)
        assert every.macs == (every.macs_dense,)
        assert every.kept == 1
        assert none.spa_density.tolist() == [[0, 0]]
        assert none.macs == (SMSRCost(net.config, dense_channels(net)).macs([0, 0], 48),)

    def test_each_image_of_a_batch_is_counted(self):
        net, images = tiny_smsr(), torch.rand(3, 3, 6, 8).double()
        each = [stats_of(net, image[None]) for image in images]
        assert stats_of(net, images).macs == tuple(stats.macs[0] for stats in each)
        kept = [stats.kept for stats in each]
        assert stats_of(net, images).kept == pytest.approx(sum(kept) / 3)


@pytest.mark.reference
def test_released_dense_channels(test_data):
    from smsr_plugin.checkpoints.masked_networks import load

    net = load(test_data / "weights" / "smsr_x2_official.pt")
    assert [list(block) for block in dense_channels(net)] == RELEASED_COUNTS
