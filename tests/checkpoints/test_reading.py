"""What is read: every kind of file, any key, headers."""

from __future__ import annotations

import json
import os
from collections import OrderedDict

import pytest
import torch
from checkpoint_files import error_of, released_form
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import tiny_smsr
from safetensors.torch import save_file

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints.masked_networks import load
from smsr_plugin.checkpoints.network import read, read_state_dict
from smsr_plugin.config import SMSRConfig

#: Three tensors are rounded to float32 once; a tiny network multiplies that little.
FOLD_TOLERANCE = 2e-6


def prefixed(prefix, state):
    return OrderedDict((prefix + key, value) for key, value in state.items())


def write_safetensors(state, path):
    save_file({key: value.contiguous() for key, value in state.items()}, path)


KINDS = {
    "bare": lambda net: net.state_dict(),
    "state_dict": lambda net: {"state_dict": net.state_dict(), "epoch": 3},
    "params": lambda net: {"params": net.state_dict()},
    "params_ema": lambda net: {"params": broken(net), "params_ema": net.state_dict()},
    "DataParallel": lambda net: {"params": prefixed("module.", net.state_dict())},
    "torch.compile": lambda net: prefixed("_orig_mod.", net.state_dict()),
    "both wrappers": lambda net: prefixed("module._orig_mod.", net.state_dict()),
    "both, the other way": lambda net: prefixed("_orig_mod.module.", net.state_dict()),
    "double": lambda net: net.double().state_dict(),
    "released": released_form,
    "released in state_dict": lambda net: {"state_dict": released_form(net)},
    "released DataParallel": lambda net: prefixed("module.", released_form(net)),
}


def broken(net):
    """Return another network's weights, to see that they are not the ones taken."""
    return tiny_smsr(seed=99, img_range=net.config.img_range).float().state_dict()


class TestLoad:
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_gives_the_same_function(self, kind, net, image, write):
        loaded = load(write(KINDS[kind](net)))
        with torch.no_grad():
            expected = net.double()(image.double())
            actual = loaded.double()(image.double())
        assert torch.allclose(actual, expected, rtol=0, atol=FOLD_TOLERANCE)
        assert loaded.config == SMSRConfig(num_feat=6, num_layer=3, num_block=2)

    def test_legacy_pickles_are_read(self, net, write):
        path = write(net.state_dict(), _use_new_zipfile_serialization=False)
        assert load(path).config.num_feat == 6

    def test_the_name_of_the_file_does_not_matter(self, net, tmp_path, write):
        write_safetensors(net.state_dict(), tmp_path / "net.pth")
        assert "safetensors" in read(tmp_path / "net.pth").kind
        assert "safetensors" not in read(write(net.state_dict(), "net.safetensors")).kind

    def test_network_is_in_evaluation_float32_on_the_cpu_and_trainable(self, net, write):
        loaded = load(os.fspath(write(net.half().state_dict())))
        assert not any(module.training for module in loaded.modules())
        assert {(value.dtype, value.device.type) for value in loaded.state_dict().values()} == {
            (torch.float32, "cpu")
        }
        assert all(parameter.requires_grad for parameter in loaded.parameters())

    def test_weights_of_range_1_are_loaded_bit_for_bit(self, write):
        net = tiny_smsr().float()
        loaded = load(write(net.state_dict())).state_dict()
        assert all(torch.equal(value, loaded[key]) for key, value in net.state_dict().items())

    def test_the_random_generator_is_left_alone(self, net, write):
        path = write(net.state_dict())
        before = torch.get_rng_state()
        load(path)
        assert torch.equal(torch.get_rng_state(), before)

    @settings(
        max_examples=12,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        options=st.fixed_dictionaries(
            {
                "num_feat": st.integers(1, 20),
                "num_layer": st.integers(1, 5),
                "num_block": st.integers(1, 11),
                "upscale": st.sampled_from([2, 3, 4]),
                "img_range": st.sampled_from([1.0, 255.0, 65535.0]),
            }
        ),
        mean=st.lists(st.integers(0, 10_000).map(lambda n: n / 10_000), min_size=1, max_size=4),
    )
    def test_configuration_is_inferred(self, options, mean, tmp_path):
        channels = {"num_in_ch": len(mean), "num_out_ch": len(mean)}
        config = SMSRConfig(**options, **channels, rgb_mean=tuple(mean))
        torch.save(SMSR.from_config(config).state_dict(), tmp_path / "net.pth")
        assert read(tmp_path / "net.pth").config == config


class TestParamKey:
    def test_param_key_overrides_the_average(self, net, write):
        path = write({"params": net.state_dict(), "params_ema": broken(net)})
        assert torch.equal(load(path, param_key="params").blocks[0].ch_mask, net.blocks[0].ch_mask)
        assert not torch.equal(load(path).blocks[0].ch_mask, net.blocks[0].ch_mask)

    def test_any_key_can_be_named(self, net, write):
        path = write({"generator": net.state_dict(), "discriminator": {}})
        assert read(path, param_key="generator").config.num_block == 2
        assert "can be one of: generator, discriminator" in error_of(path)

    def test_absent_key_is_refused_by_load(self, net, write):
        nested, bare = write({"params": net.state_dict()}, "a"), write(net.state_dict(), "b")
        assert "has no 'params_ema'; param_key can be one of: params" in error_of(
            nested, param_key="params_ema"
        )
        assert "leave param_key out" in error_of(bare, param_key="params")
        assert "but a Tensor" in error_of(bare, param_key="head.0.bias")

    def test_absent_key_falls_back_for_basicsr(self, net, write):
        for content in ({"params": net.state_dict()}, net.state_dict(), released_form(net)):
            read = read_state_dict(write(content), param_key="params_ema")
            state, config = read.state_dict, read.config
            assert config.img_range == 255
            assert torch.equal(state["head.0.weight"], net.head[0].weight)


class TestMetadata:
    def test_safetensors_of_others_need_no_metadata(self, net, tmp_path):
        write_safetensors(released_form(net), tmp_path / "a.safetensors")
        assert read(tmp_path / "a.safetensors").kind == "released SMSR weights, safetensors"

    @pytest.mark.parametrize(
        "config",
        [
            None,
            "no json",
            "[1]",
            "[" * 100_000,
            '{"num_feat": -1}',
            '{"rgb_mean": null}',
            '{"colour": 3}',
            json.dumps(SMSRConfig(num_feat=6, num_layer=3, num_block=2, upscale=3).to_dict()),
        ],
    )
    def test_header_must_describe_the_tensors(self, config, net, tmp_path):
        metadata = {"format": "smsr"} | ({} if config is None else {"config": config})
        path = tmp_path / "net.safetensors"
        save_file(net.state_dict(), path, metadata)
        assert "its header" in error_of(path)


@pytest.mark.reference
class TestReleasedWeights:
    def test_configuration_and_range(self, test_data):
        checkpoint = read(test_data / "weights" / "smsr_x2_official.pt")
        assert checkpoint.config == SMSRConfig(img_range=255.0)
        assert checkpoint.kind == "released SMSR weights"
        parameters = {k: v for k, v in checkpoint.state_dict.items() if "ch_mask" not in k}
        assert sum(v.numel() for v in parameters.values()) - 4 == 984_746  # less two buffers

    def test_folded_network_is_the_same_function(self, test_data):
        path = test_data / "weights" / "smsr_x2_official.pt"
        read = read_state_dict(path)
        state, config = read.state_dict, read.config
        net = SMSR.from_config(config).double().eval()
        net.load_state_dict(state)
        image = torch.rand(1, 3, 24, 25, generator=torch.Generator().manual_seed(0)).double()
        with torch.no_grad():
            difference = load(path).double()(image) - net(image)
        assert difference.abs().max() < 1e-5

    def test_other_published_networks_are_named(self, test_data):
        for path in sorted((test_data / "weights").glob("*.pth")):
            name = path.name.partition("_")[0].upper()
            assert f"holds another network, {name}, not an SMSR" in error_of(path)
