from __future__ import annotations

import pytest
import torch
from masked_networks import TILE_NETWORKS, tiny_masked_rlfn
from safetensors import safe_open

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.masked_networks import load_masked, save


@pytest.mark.parametrize("kind", TILE_NETWORKS)
@pytest.mark.parametrize("options", [{}, {"num_narrow": 3, "upscale": 4}])
@pytest.mark.parametrize("curve", [False, True])
def test_what_is_saved_is_loaded(tmp_path, kind, options, curve):
    net = TILE_NETWORKS[kind][0](**options).float()
    if curve:
        net.density_curve = torch.linspace(1, -1, 41)[None]
    save(net, tmp_path / "m.safetensors", {"source": "x"})
    loaded = load_masked(tmp_path / "m.safetensors")
    assert loaded is not None
    assert loaded.config == net.config
    assert not loaded.training
    x = torch.rand(1, 3, 20, 24)
    assert torch.equal(loaded(x), net(x))
    if curve:
        loaded.set_density(1)
        torch.testing.assert_close(loaded(x), net(x, threshold=-1e9))
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert file.metadata()["network"] == type(net).__name__
        assert file.metadata()["source"] == "x"


def test_a_training_checkpoint_is_loaded(tmp_path):
    net = tiny_masked_rlfn().float()
    torch.save({"params": net.state_dict()}, tmp_path / "net_g_5.pth")
    loaded = load_masked(tmp_path / "net_g_5.pth")
    assert loaded is not None
    assert torch.equal(loaded(torch.ones(1, 3, 9, 9)), net(torch.ones(1, 3, 9, 9)))


def test_other_networks_are_not_its_business(tmp_path):
    torch.save({"head.0.weight": torch.ones(2)}, tmp_path / "other.pth")
    assert load_masked(tmp_path / "other.pth") is None


def damage(state, name, value):
    if value is None:
        del state[name]
    else:
        state[name] = value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("constants", None, "does not fit MaskedRLFN .1 keys missing: constants"),
        ("constants", torch.ones(6, 2, 4), "tensors of another shape: constants"),
        ("dense.conv_1.weight", None, "holds only part of a MaskedRLFN"),
        ("dense.conv_1.weight", torch.ones(3), "holds only part of a MaskedRLFN"),
        ("dense.upsampler.0.weight", torch.ones(1), "holds only part of a MaskedRLFN"),
        ("density_curve", torch.ones(6, 41), "density_curve is"),
        ("more", torch.ones(1), "1 keys unexpected: more"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path, name, value, message):
    state = tiny_masked_rlfn().float().state_dict()
    damage(state, name, value)
    path = tmp_path / "damaged.pth"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_masked(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_it_is_saved_as_safetensors_only(tmp_path):
    with pytest.raises(CheckpointError, match=r"must end in \.safetensors"):
        save(tiny_masked_rlfn(), tmp_path / "m.pth")


@pytest.mark.parametrize("metadata", [{"network": "SMSR"}, {"config": "{}"}, {"source": 1}])
def test_metadata_that_do_not_fit_are_refused(tmp_path, metadata):
    with pytest.raises(CheckpointError, match="metadata must map strings other than"):
        save(tiny_masked_rlfn().float(), tmp_path / "m.safetensors", metadata)
    assert not list(tmp_path.iterdir())
