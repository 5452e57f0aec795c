"""What is written, and that it is whole or not there."""

from __future__ import annotations

import json
import os

import pytest
import torch
from networks import tiny_smsr
from safetensors import safe_open

import smsr_plugin
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.masked_networks import load, save
from smsr_plugin.checkpoints.network import read


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
        with pytest.raises(CheckpointError, match=r"takes a network with masks, .* got a Conv2d"):
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
