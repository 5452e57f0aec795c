from __future__ import annotations

import pytest
import torch
from networks import tiny_smsr
from torch import nn

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import load_weights, read_tensors


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.fixture
def write(tmp_path):
    def write(content):
        torch.save(content, tmp_path / "net.pth")
        return tmp_path / "net.pth"

    return write


def fresh():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
@pytest.mark.parametrize("key", [None, "params_ema", "state_dict"])
def test_weights_are_found_under_keys_and_prefixes(net, write, prefix, key):
    state = {prefix + name: value for name, value in net.state_dict().items()}
    path, other = write(state if key is None else {key: state}), fresh()
    load_weights(other, path)
    for name, value in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
        assert other.state_dict()[name].dtype == value.dtype


def test_a_key_can_be_chosen(net, write):
    path = write({"params_ema": fresh().state_dict(), "params": net.state_dict()})
    assert torch.equal(read_tensors(path, param_key="params")["0.bias"], net[0].bias)
    assert not torch.equal(read_tensors(path)["0.bias"], net[0].bias)
    with pytest.raises(CheckpointError, match=r"net.pth: has no 'weights'"):
        read_tensors(path, param_key="weights")


def test_what_a_network_has_or_not_fits_as_well(write):
    given, other = tiny_smsr().float(), tiny_smsr(1).float()
    given.density_curve, given.feature_peaks = torch.zeros(2, 41), torch.ones(2, 4)
    load_weights(other, write(given.state_dict()))
    assert torch.equal(other.feature_peaks, given.feature_peaks)
    assert torch.equal(other.density_curve, given.density_curve)
    with pytest.raises(CheckpointError, match=r"density_curve is \(1, 41\), expected \(2, 41\)"):
        load_weights(other, write(given.state_dict() | {"density_curve": torch.zeros(1, 41)}))


def test_a_network_that_does_not_fit_is_refused_and_left_alone(net, write):
    state = net.state_dict()
    del state["1.bias"]
    state["0.weight"] = state["0.weight"][:, :1]
    other = fresh()
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"does not fit Sequential \(1 keys missing: 1.bias;"):
        load_weights(other, write(state))
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_files_that_hold_no_weights_are_told(tmp_path, write):
    with pytest.raises(CheckpointError, match=r"absent.pth: cannot be read"):
        read_tensors(tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match=r"net.pth: .*needs the Python object"):
        read_tensors(write({"net": fresh()}))
