"""Peaks of features: an entry that an SMSR has or not, and what its program tells of it."""

from __future__ import annotations

import pytest
import torch
from networks import split_channels, tiny_smsr

from smsr_plugin.archs.smsr_program import PEAKS, smsr_program, with_density
from smsr_plugin.archs.steps import MaskedConv
from smsr_plugin.checkpoints.converted import read_converted
from smsr_plugin.checkpoints.masked_networks import load, save

VALUES = [[0.5, 1.25, 3.1, 0.7], [2.0, 0.1, 9.0, 4.4]]


def net_with_peaks(**options):
    net = split_channels(tiny_smsr(**options), [[[0], [1, 2], []], [[3], [], [4]]]).float()
    net.feature_peaks = torch.tensor(VALUES)
    return net


def peaks_of(program):
    return [step.peaks for step in program.steps if isinstance(step, MaskedConv)]


#: A layer reads the block's input or what the layer before it has put out.
EXPECTED = [row[layer : layer + 2] for row in torch.tensor(VALUES).tolist() for layer in range(3)]


def test_the_program_tells_them_to_each_masked_convolution():
    net = net_with_peaks()
    assert [list(peaks) for peaks in peaks_of(net.program())] == EXPECTED
    named = [(name, weight.shape) for name, weight in net.program().weights()]
    net.feature_peaks = None
    assert peaks_of(net.program()) == [None] * 6
    assert named == [(name, weight.shape) for name, weight in net.program().weights()]


def test_programs_with_other_weights_keep_them():
    program = net_with_peaks().program()
    assert peaks_of(program.map(lambda name, weight: 2 * weight)) == peaks_of(program)


@pytest.mark.parametrize("half", [False, True])
def test_what_is_saved_is_read_with_and_without_pytorch(tmp_path, half):
    net, path = net_with_peaks(), tmp_path / "net.safetensors"
    save(net, path, half=half)
    loaded, converted = load(path), read_converted(path)
    assert torch.equal(loaded.feature_peaks, net.feature_peaks)
    assert converted is not None
    for program in (loaded.program(), smsr_program(converted.config, converted.state)):
        assert [list(peaks) for peaks in peaks_of(program)] == EXPECTED


def test_they_come_with_weights_or_not():
    net, plain = net_with_peaks(), tiny_smsr().float()
    with_peaks = net.state_dict()
    net.load_state_dict(plain.state_dict())
    assert net.feature_peaks is None
    plain.load_state_dict(with_peaks)
    assert plain.feature_peaks.tolist() == torch.tensor(VALUES).tolist()


def test_another_range_of_values_and_another_density_keep_them(tmp_path):
    net = net_with_peaks(img_range=255.0)
    net.density_curve = torch.linspace(1, -1, 41).expand(2, -1).contiguous()
    save(net, tmp_path / "net.safetensors")
    loaded = load(tmp_path / "net.safetensors")
    assert loaded.config.img_range == 1
    assert torch.equal(loaded.feature_peaks, net.feature_peaks)
    state = {name: entry.double().numpy() for name, entry in loaded.state_dict().items()}
    assert with_density(state, 0.3)[PEAKS] is state[PEAKS]
    loaded.set_density(0.3)
    assert torch.equal(loaded.feature_peaks, net.feature_peaks)
