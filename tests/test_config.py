import json

import pytest

from smsr_plugin.config import SMSRConfig


def test_config_survives_json():
    config = SMSRConfig(num_feat=8, upscale=3, img_range=255.0)
    assert SMSRConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "options",
    [
        {"num_feat": 0},
        {"num_layer": 1.5},
        {"num_block": True},
        {"upscale": 8},
        {"img_range": 0},
        {"rgb_mean": (0.5,)},
        {"num_out_ch": 1},
    ],
)
def test_config_refuses_values_out_of_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SMSRConfig(**options)


def test_unknown_option_is_named():
    with pytest.raises(ValueError, match="num_feats"):
        SMSRConfig.from_dict({"num_feats": 64})
