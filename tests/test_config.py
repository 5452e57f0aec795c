import json

import pytest

from smsr_plugin.config import SMSRConfig


def test_config_survives_json():
    config = SMSRConfig(num_feat=8, upscale=3, img_range=255.0)
    assert SMSRConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_whole_numbers_and_lists_from_yaml_become_what_the_network_needs():
    config = SMSRConfig(img_range=255, rgb_mean=[0, 0, 1])  # type: ignore[arg-type]
    assert repr(config.img_range) == "255.0"
    assert repr(config.rgb_mean) == "(0.0, 0.0, 1.0)"


@pytest.mark.parametrize(
    "options",
    [
        {"num_feat": 0},
        {"num_layer": 1.5},
        {"num_block": True},
        {"upscale": 8},
        {"img_range": 0},
        {"img_range": float("inf")},
        {"rgb_mean": (0.5,)},
        {"rgb_mean": (0.5, 0.5, float("nan"))},
        {"num_out_ch": 1},
    ],
)
def test_config_refuses_values_out_of_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SMSRConfig(**options)


def test_unknown_option_is_named():
    with pytest.raises(ValueError, match="num_feats"):
        SMSRConfig.from_dict({"num_feats": 64})
