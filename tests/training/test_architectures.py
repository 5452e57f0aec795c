from __future__ import annotations

import pytest

from smsr_plugin.complexity.counter import lq_size, profile
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.registration import STANDARD_SIZES, build_architecture


def size_and_cost(name, upscale, **options):
    built = build_architecture(name, options, upscale)
    assert built.upscale == upscale
    complexity = profile(built.net, lq_size((720, 1280), upscale), built.num_in_ch)
    return complexity.params / 1e3, complexity.macs / 1e9


@pytest.mark.parametrize(
    ("name", "upscale", "published"),
    [
        ("SMSR", 2, (985 + 2.56, 224.1)),
        ("EDSR", 2, (1370, 316.3)),
        ("EDSR", 3, (1555, 160.2)),
        ("MSRResNet", 4, (1518, 146.1)),
        # The same 18 convolutions of 64 channels and 17 PReLUs, once ECBSR is deployed.
        ("ECBSR", 4, (621.4, 35.7)),
        ("SRVGGNetCompact", 4, (621.4, 35.7)),
    ],
)
def test_standard_sizes_are_the_published_ones(name, upscale, published):
    assert size_and_cost(name, upscale) == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize("with_idt", [True, False])
def test_ecbsr_counts_as_single_convolutions(with_idt):
    options = {"num_in_ch": 1, "num_out_ch": 1, "num_block": 4, "num_channel": 16}
    weights = 9 * (16 + 4 * 16 * 16 + 16 * 4)
    params, macs = size_and_cost("ECBSR", 2, **options, with_idt=with_idt)
    assert params * 1e3 == weights + 5 * (16 + 16) + 4  # biases, PReLUs; the last has no PReLU
    assert macs * 1e9 == pytest.approx(weights * 360 * 640, abs=1)


def test_options_take_the_place_of_standard_sizes():
    built = build_architecture("EDSR", {"num_block": 1, "upscale": 4, "num_in_ch": 3}, upscale=2)
    assert (built.upscale, built.num_in_ch) == (4, 3)
    assert len(built.net.body) == 1


def test_network_without_a_scale_is_built_as_it_is():
    options = {"in_channels": 2, "mid_channels": 16, "out_channels": 2, "num_block": 1}
    assert build_architecture("RIDNet", {**options, "img_range": 1}, 3)[1:] == (1, 2)


def test_every_standard_size_names_a_network():
    for name in STANDARD_SIZES:
        assert build_architecture(name).upscale == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("SMSRR", {}, r"no network is called 'SMSRR' \(did you mean SMSR\?\)"),
        ("SMSR", {"num_fat": 3}, r"no option 'num_fat' \(did you mean num_feat\?\); it has"),
        ("RIDNet", {}, "needs a value for in_channels, mid_channels, out_channels"),
        ("SMSR", {"upscale": 7}, "SMSR cannot be built with .*upscale must be one of"),
        ("EDSR", {"num_feat": "many"}, "EDSR cannot be built with"),
        (
            "SRVGGNetCompact",
            {"upscale": -1},
            "upscale: expected a whole number of at least 1, got -1",
        ),
    ],
)
def test_what_does_not_fit_is_told(name, options, message):
    with pytest.raises(OptionError, match=message):
        build_architecture(name, options)
