"""Which weights are taken where no file is named."""

from __future__ import annotations

import pytest
import torch
from masked_networks import tiny_masked_rlfn
from networks import tiny_smsr

from smsr_plugin.checkpoints import CheckpointError, shipped
from smsr_plugin.checkpoints.masked_networks import load, save
from smsr_plugin.checkpoints.network import read
from smsr_plugin.checkpoints.shipped import default_weights
from smsr_plugin.runtime import Runtime
from smsr_plugin.upscaling.loading import load_network as load_for_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder of weights in place of the package's, for ×2 and ×4."""
    monkeypatch.delenv(shipped.VARIABLE, raising=False)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    for scale in (2, 4):
        save(tiny_smsr(upscale=scale).float(), tmp_path / f"smsr_x{scale}.safetensors", half=True)
    return tmp_path


@pytest.mark.parametrize(
    ("scale", "outscale", "taken"),
    [(None, None, 2), (4, None, 4), (2, 3.0, 2), (None, 1.5, 2), (None, 2.1, 4), (None, 9.0, 4)],
)
def test_scale_or_outscale_choose_among_the_packages_networks(folder, scale, outscale, taken):
    assert default_weights(scale, outscale) == folder / f"smsr_x{taken}.safetensors"


def test_where_none_is_named_it_is_the_best_of_a_scale(folder):
    for name in ("rlfn-s_x2", "rlfn-s_x4", "rlfn_x4"):
        (folder / f"{name}.safetensors").touch()
    assert {s: default_weights(s).stem for s in (2, 4)} == {2: "rlfn-s_x2", 4: "rlfn_x4"}
    assert default_weights(outscale=3.0).stem == "rlfn_x4"
    assert default_weights(4, model="rlfn-s").stem == "rlfn-s_x4"
    save(tiny_smsr(upscale=3).float(), folder / "smsr_x3.safetensors", half=True)
    assert default_weights(3).stem == "smsr_x3"


def test_load_takes_the_packages_network_for_a_scale(folder):
    assert load().config.upscale == 2
    assert load(scale=4).config.upscale == 4
    with pytest.raises(CheckpointError, match=r"scale must be one of 2, 4, .* got 3"):
        load(scale=3)


def test_weights_that_the_user_sets_win(folder, monkeypatch, tmp_path):
    own = tmp_path / "own.safetensors"
    save(tiny_smsr(seed=5, upscale=3).float(), own)
    monkeypatch.setenv(shipped.VARIABLE, str(own))
    assert default_weights(2) == own
    assert load().config.upscale == 3
    with pytest.raises(CheckpointError, match="enlarges by 3, but scale 2 was asked for"):
        load(scale=2)


def test_a_network_can_be_named(folder, monkeypatch):
    path = folder / "rlfn-s_x3.safetensors"
    save(tiny_masked_rlfn(upscale=3).float(), path, {"licence": "Apache-2.0"}, half=True)
    monkeypatch.setenv(shipped.VARIABLE, "none")  # does not count where a network is named
    assert default_weights(model="rlfn-s") == path
    assert default_weights(4, model="smsr") == folder / "smsr_x4.safetensors"
    net = load(model="rlfn-s", scale=3)
    assert net.config.upscale == 3
    assert next(net.parameters()).dtype == torch.float32
    assert Runtime.load(model="rlfn-s").upscale == 3
    assert load_for_images(model="rlfn-s", outscale=2).upscale == 3
    with pytest.raises(CheckpointError, match="scale must be one of 3"):
        load(model="rlfn-s", scale=2)
    with pytest.raises(CheckpointError, match=r"model must be one of rlfn-s, smsr, .* got 'pan'"):
        default_weights(model="pan")
    for take in (load, Runtime.load, load_for_images):
        with pytest.raises(CheckpointError, match="name weights or a model, not both"):
            take(path, model="rlfn-s")


def test_without_weights_in_the_package_the_error_says_what_to_do(folder):
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(CheckpointError, match="name a file, or set SMSR_WEIGHTS"):
        load()


def test_half_precision_rounds_weights_only(tmp_path):
    net = tiny_smsr(num_feat=16).float()
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save(net, whole)
    save(net, half, {"licence": "Apache-2.0"}, half=True)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    checkpoint = read(half)
    assert checkpoint.metadata["licence"] == "Apache-2.0"
    names = {name for name, _ in net.named_parameters()}
    for key, value in net.state_dict().items():
        expected = value.half().float() if key in names else value
        torch.testing.assert_close(checkpoint.state_dict[key], expected, rtol=0, atol=0)
    with torch.no_grad():
        net.head[0].weight[0] = 1e6
    with pytest.raises(CheckpointError, match=r"head\.0\.weight has values beyond float16"):
        save(net, half, half=True)
    assert read(half).metadata["licence"] == "Apache-2.0"  # as it was
