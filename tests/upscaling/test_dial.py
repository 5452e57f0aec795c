from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from masked_networks import tiny_masked_rlfn
from networks import tiny_smsr

import smsr_plugin
from smsr_plugin.archs.density import density_curve
from smsr_plugin.runtime import Runtime
from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling import loading as module
from smsr_plugin.upscaling.loading import LEAST, MARGIN, Dial, PixelCost, load_network, measure

pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")
COST = PixelCost(skipped=1e-6, computed=3e-6)


@pytest.fixture
def file(tmp_path):
    net = tiny_masked_rlfn().float()
    scores = net.predictor(torch.rand(1, 3, 64, 64))
    net.density_curve = density_curve(scores.reshape(1, 1, -1, 1))
    smsr_plugin.save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize(
    ("seconds", "density"), [(9, 1), (3, 1), (2.001, 0.5), (1.6, 0.3), (1.1, LEAST), (0.1, LEAST)]
)
def test_the_density_is_the_largest_that_time_allows(seconds, density):
    assert COST.density(1e6, seconds) == pytest.approx(density, abs=0.0101)
    if LEAST < COST.density(1e6, seconds) < 1:
        assert COST.seconds(1e6, COST.density(1e6, seconds)) <= seconds


def test_where_masks_save_nothing_everything_is_computed():
    assert PixelCost(2e-6, 2e-6).density(1e6, 0.1) == 1


def test_no_tile_and_every_tile_are_timed(file, monkeypatch):
    monkeypatch.setattr(module, "SIDE", 24)
    runtime, seen = Runtime.load(file, threshold=0.01), []

    def least(run):
        seen.append(run().spa_mask.mean())
        return 1 + seen[-1]

    monkeypatch.setattr(module, "_least_seconds", least)
    assert measure(runtime) == PixelCost(1 / 24**2, 2 / 24**2)
    assert seen == [0, 1]
    assert runtime.threshold == np.float32(0.01) or runtime.threshold == 0.01


def test_each_image_gets_the_network_that_its_size_allows(file, monkeypatch):
    monkeypatch.setattr(module, "measure", lambda runtime: COST)
    asked = []

    def load(density):
        asked.append(density)
        return Runtime.load(file, density=density)

    dial = Dial(load, 1 / MARGIN)
    at = [dial.at(pixels) for pixels in (1e5, 5e5, 5e5, 2e6)]
    assert asked[0] == 1
    assert asked[1:] == pytest.approx([0.5, LEAST], abs=0.0101)
    assert at[1] is at[2]
    assert "3.00 s here at density 1 and 1.40 s at 0.2" in str(dial)
    assert "enough for 0.33 and 0.71 megapixels" in str(dial)
    for pixels in np.linspace(4e5, 7e5, 9):
        dial.at(pixels)
    assert len(dial._kept) <= module.KEPT


@pytest.mark.parametrize("tile", [0, 64])
def test_the_dial_counts_the_pixels_of_all_tiles(file, monkeypatch, tile):
    monkeypatch.setattr(module, "measure", lambda runtime: COST)
    network = load_network(file, budget=1.0, tile=tile, overlap=8)
    seen = []
    monkeypatch.setattr(network.dial, "at", lambda pixels: seen.append(pixels) or network.model)
    network(np.full((3, 64, 100), 0.5, np.float32))
    assert seen == [64 * 100] if tile == 0 else seen[0] > 64 * 100


def test_it_follows_the_time_allowed(file):
    image = np.random.default_rng(0).random((40, 48, 3), np.float32)
    whole = smsr_plugin.upscale(image, file, density=1)
    least = smsr_plugin.upscale(image, file, density=LEAST)
    assert np.array_equal(smsr_plugin.upscale(image, file, budget=100), whole)
    assert np.array_equal(smsr_plugin.upscale(image, file, budget=1e-9), least)
    assert not np.array_equal(whole, least)


@pytest.mark.parametrize("budget", [0, -1, math.nan, math.inf])
def test_it_must_be_a_time(file, budget):
    with pytest.raises(RequestError, match="budget must be a number of seconds above 0"):
        load_network(file, budget=budget)


def test_what_does_not_go_with_it_is_refused(file, tmp_path):
    with pytest.raises(RequestError, match="name neither density nor dense"):
        load_network(file, budget=1, density=0.5)
    with pytest.raises(RequestError, match="name neither density nor dense"):
        load_network(file, budget=1, dense=True)
    smsr_plugin.save(tiny_smsr(num_feat=16).float(), tmp_path / "smsr.safetensors")
    with pytest.raises(RequestError, match="a budget needs a network with densities: "):
        load_network(tmp_path / "smsr.safetensors", budget=1)
    torch.save({"params": tiny_smsr(num_feat=16).state_dict()}, tmp_path / "smsr.pth")
    with pytest.raises(RequestError, match="a budget needs a network with densities: "):
        load_network(tmp_path / "smsr.pth", budget=1)
