from __future__ import annotations

import io
import json
import os
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from checkpoint_files import released_form
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import tiny_smsr
from safetensors import safe_open
from safetensors.torch import save_file

import smsr_plugin
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints import (
    CheckpointError,
    fold_img_range,
    load,
    read,
    read_state_dict,
    save,
)
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


@pytest.fixture
def net():
    return tiny_smsr(img_range=255.0).float()


@pytest.fixture
def image():
    return torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def write(tmp_path):
    def write(content, name="net.pth", **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path, **options)
        return path

    return write


def error_of(path, **options) -> str:
    """Return the message of the error that reading raises; it must be one line with the path."""
    with pytest.raises(CheckpointError) as caught:
        load(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 700
    return message


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
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
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
            state, config = read_state_dict(write(content), param_key="params_ema")
            assert config.img_range == 255
            assert torch.equal(state["head.0.weight"], net.head[0].weight)


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


class TestSave:
    def test_round_trip_keeps_everything(self, net, tmp_path):
        path = tmp_path / "net.safetensors"
        save(net, path, {"trained on": "Überraschung"})
        checkpoint = read(path)
        assert checkpoint.config == net.config
        assert checkpoint.state_dict.keys() == net.state_dict().keys()
        for key, value in net.state_dict().items():
            assert torch.equal(checkpoint.state_dict[key], value)
        with safe_open(path, "pt") as file:
            assert file.metadata() == {
                "format": "smsr",
                "smsr_plugin": smsr_plugin.__version__,
                "config": json.dumps(net.config.to_dict()),
                "trained on": "Überraschung",
            }
        assert checkpoint.metadata["trained on"] == "Überraschung"

    def test_half_precision_and_channels_last_are_saved_as_float32(self, net, tmp_path):
        save(net.half().to(memory_format=torch.channels_last), tmp_path / "a.safetensors")
        state = read(tmp_path / "a.safetensors").state_dict
        assert torch.equal(state["head.2.weight"], net.head[2].weight.float())

    def test_range_is_that_of_the_weights(self, tmp_path, net):
        other = tiny_smsr(seed=1).float()
        other.load_state_dict(net.state_dict())  # brings img_range 255 along
        save(other, tmp_path / "a.safetensors")
        assert read(tmp_path / "a.safetensors").config.img_range == 255

    @pytest.mark.parametrize("name", ["net.pth", "net", "safetensors", "a.safetensors.bak"])
    def test_other_suffixes_are_refused(self, name, net, tmp_path):
        with pytest.raises(CheckpointError, match=r"must end in \.safetensors"):
            save(net, tmp_path / name)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"config": "{}"}, {"format": "pt"}])
    def test_bad_metadata_are_refused(self, metadata, net, tmp_path):
        with pytest.raises(CheckpointError, match="metadata must map strings"):
            save(net, tmp_path / "net.safetensors", metadata)

    def test_diverged_weights_are_refused(self, net, tmp_path):
        with torch.no_grad():
            net.head[0].bias[0] = float("nan")
        with pytest.raises(CheckpointError, match=r"NaN or infinity in head\.0\.bias"):
            save(net, tmp_path / "net.safetensors")

    def test_other_networks_are_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match="takes an SMSR, got a Conv2d"):
            save(torch.nn.Conv2d(1, 1, 1), tmp_path / "net.safetensors")

    def test_interrupted_write_leaves_the_old_file(self, net, tmp_path, monkeypatch):
        path = tmp_path / "net.safetensors"
        save(net, path)
        before = path.read_bytes()

        def full_disk(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full_disk)
        with pytest.raises(CheckpointError, match="cannot be written: No space left"):
            save(tiny_smsr(seed=3).float(), path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_replaced_file_is_never_seen_half_written(self, net, tmp_path, monkeypatch):
        path, seen = tmp_path / "net.safetensors", []
        save(net, path)
        synced = os.fsync

        def look(descriptor):
            seen.append(load(path).config.num_feat)
            synced(descriptor)

        monkeypatch.setattr(os, "fsync", look)
        save(tiny_smsr(num_feat=8).float(), path)
        assert seen == [6, 8]  # the file before it has its name, the folder after
        assert load(path).config.num_feat == 8

    def test_new_file_has_the_permissions_of_any_new_file(self, net, tmp_path):
        (tmp_path / "other").touch()
        save(net, tmp_path / "net.safetensors")
        modes = {path.stat().st_mode for path in tmp_path.iterdir()}
        assert len(modes) == 1

    def test_missing_folder_is_named(self, net, tmp_path):
        with pytest.raises(CheckpointError, match=r"no/net\.safetensors: cannot be written: No"):
            save(net, tmp_path / "no" / "net.safetensors")


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


class Touch:
    """Unpickles by creating a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


class TestRefusals:
    def test_pickled_code_does_not_run(self, net, write, tmp_path):
        mark = tmp_path / "it ran"
        for number, options in enumerate(({}, {"_use_new_zipfile_serialization": False})):
            content = {"params": net.state_dict(), "extra": Touch(mark)}
            path = write(content, f"{number}.pth", **options)
            assert "can run code" in error_of(path)
            assert not mark.exists()
        torch.load(path, weights_only=False)
        assert mark.exists()  # the file was indeed armed

    def test_whole_modules_are_refused_by_name(self, net, write):
        assert "needs the Python object smsr_plugin.archs.smsr_arch.SMSR" in error_of(write(net))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"\x00", "neither a PyTorch nor"),
            (b"<!DOCTYPE html><html>", "neither a PyTorch nor"),
            (b"\x80", "damaged"),
            (b"PK\x03\x04", "damaged"),
            (b"\x80\x04\x95" + bytes(100), "damaged"),
            ((10**9).to_bytes(8, "little") + b'{"a":', "damaged safetensors"),
            ((2).to_bytes(8, "little") + b"{}", "an empty dict"),
            ([torch.zeros(1)], "holds a list"),
            (torch.zeros(3), "holds a Tensor"),
            ({}, "an empty dict"),
            ({"params": {}}, "no state dict under 'params'"),
            ({"params": None}, "but a NoneType"),
            ({"lr": 0.1}, "'lr' holds a float"),
            ({0: torch.zeros(1)}, "0 holds a Tensor"),
            ({"epoch": 1, "iter": 2, "optimizers": [], "schedulers": []}, "a training state"),
        ],
    )
    def test_what_is_no_network_is_refused(self, content, message, write):
        assert message in error_of(write(content))

    def test_training_states_of_basicsr_are_told_apart(self, write):
        parameter = torch.nn.Parameter(torch.zeros(2))
        optimizer = torch.optim.Adam([parameter])
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
        content = {
            "epoch": 0,
            "iter": 5,
            "optimizers": [optimizer.state_dict()],
            "schedulers": [scheduler.state_dict()],
        }
        assert "net_g_*.pth" in error_of(write(content, "5.state"))

    def test_zip_archives_of_other_things_are_refused(self, write):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("letter.txt", "hello")
        assert "not a PyTorch checkpoint" in error_of(write(stream.getvalue()))

    def test_missing_files_and_folders_are_refused(self, tmp_path):
        assert "No such file" in error_of(tmp_path / "none.pth")
        assert "directory" in error_of(tmp_path)

    @pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
    def test_files_cut_short_are_refused(self, form, net, tmp_path, write):
        path = tmp_path / "whole"
        if form == "safetensors":
            save_file(net.state_dict(), path)
        else:
            torch.save(net.state_dict(), path, _use_new_zipfile_serialization=form == "zip")
        content = path.read_bytes()
        for end in [1, 9, 100, len(content) // 3, len(content) // 2, len(content) - 1]:
            error_of(write(content[:end], "cut"))

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(data=st.data(), form=st.sampled_from(["zip", "legacy", "safetensors"]))
    def test_damaged_files_never_crash(self, data, form, tmp_path):
        net, path = tiny_smsr(num_feat=1, num_layer=1, num_block=1).float(), tmp_path / "net"
        if form == "safetensors":
            save_file(net.state_dict(), path)
        else:
            torch.save(net.state_dict(), path, _use_new_zipfile_serialization=form == "zip")
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            loaded = load(path)
        except CheckpointError:
            return
        assert all(value.isfinite().all() for value in loaded.state_dict().values())

    @pytest.mark.parametrize(
        ("key", "name"),
        [
            ("block_1.c1_r.weight", "RLFN"),
            ("module.IMDB1.c1.weight", "IMDN"),
            ("SCPA_trunk.0.conv1_a.weight", "PAN"),
            ("conv_after_body.weight", "EDSR"),
            ("cascade.blocks.0.fuses.0.weight", "CARN"),
        ],
    )
    def test_other_networks_are_named(self, key, name, write):
        message = error_of(write({key: torch.zeros(3)}))
        assert f"holds another network, {name}, not an SMSR" in message
        assert "keys missing: rgb_mean" in message
        assert "1 keys unexpected" in message

    def test_part_of_a_network_is_told(self, net, write):
        state = {k: v for k, v in net.state_dict().items() if not k.startswith("blocks.1.fuse")}
        message = error_of(write(state))
        assert "holds only part of an SMSR" in message
        assert "2 keys missing: blocks.1.fuse.weight, blocks.1.fuse.bias" in message

    def test_missing_buffers_and_mean_shifts_are_named(self, net, write):
        state = net.state_dict()
        del state["img_range"]
        assert "img_range" in error_of(write(state))
        state = released_form(net)
        del state["add_mean.bias"]
        assert "rgb_mean, img_range" in error_of(write(state))

    def test_wrong_shapes_are_named(self, net, write):
        state = net.state_dict()
        state["blocks.1.fuse.bias"] = torch.zeros(7)
        assert "blocks.1.fuse.bias is (7,), expected (6,)" in error_of(write(state))
        state["head.0.weight"] = torch.zeros(3)
        error_of(write(state))

    def test_impossible_shapes_are_told(self, net, write):
        state = net.state_dict()
        state["tail.0.weight"] = torch.zeros(13, 6, 3, 3)
        assert "13 output channels, which is not num_in_ch × upscale²" in error_of(write(state))
        state["tail.0.weight"] = torch.zeros(3 * 25, 6, 3, 3)
        assert "upscale must be one of" in error_of(write(state))

    @pytest.mark.parametrize(
        "tensor",
        [
            torch.zeros(6, dtype=torch.complex64),
            torch.zeros(6).to_sparse(),
            torch.zeros(0),
            torch.zeros(1).expand(10**12),
            torch.zeros(6, device="meta"),
        ],
    )
    def test_unusual_tensors_are_refused(self, tensor, net, write):
        state = net.state_dict() | {"head.0.bias": tensor}
        assert "'head.0.bias' is not an ordinary tensor" in error_of(write(state))

    def test_diverged_weights_are_told(self, net, write):
        state = net.state_dict()
        state["tail.0.weight"][0, 0, 0, 0] = float("inf")
        assert "NaN or infinity in tail.0.weight" in error_of(write(state))

    def test_other_mean_shifts_are_refused(self, net, write):
        state = released_form(net)
        state["sub_mean.bias"] = state["sub_mean.bias"] * torch.tensor([1, 1, 1.01])
        state["add_mean.bias"] = -state["sub_mean.bias"]
        assert "do not shift by the mean" in error_of(write(state))


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
        state, config = read_state_dict(path)
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
