"""spandrel's own loader recognises and runs our checkpoints, and all others as before."""

from __future__ import annotations

import copy
import importlib.util
import sys

import pytest
import torch
from checkpoint_files import released_form
from networks import split_channels, tiny_smsr

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.masked_networks import load, save

spandrel = pytest.importorskip("spandrel")
architectures = importlib.import_module("spandrel.architectures")
ours = importlib.import_module("smsr_plugin.spandrel")

#: 24 bits, sums of a few hundred terms through about 10 layers; 8 bits.
FP32 = {"rtol": 0, "atol": 1e-5}
BF16 = {"rtol": 0, "atol": 0.03}


@pytest.fixture(scope="module")
def net():
    counts = [[[0, 1], [2], []], [[], [3, 4], [1, 2]]]
    return split_channels(tiny_smsr(upscale=3, img_range=255.0), counts).float()


@pytest.fixture
def registry():
    return spandrel.MAIN_REGISTRY.copy()


@pytest.fixture
def loader(registry):
    ours.install(registry=registry)
    return spandrel.ModelLoader(registry=registry)


def upscaled(net, lq):
    """Return what a descriptor is to return: the oracle's image, clamped."""
    with torch.no_grad():
        return net(lq).clamp(0, 1)


def content(net, kind):
    state, other = net.state_dict(), tiny_smsr(1, upscale=3).state_dict()
    return {
        "released": released_form(net),
        "BasicSR": {"params": other, "params_ema": state},
        "bare": state,
        "DataParallel": {f"module.{key}": value for key, value in state.items()},
        "compiled": {"params": {f"_orig_mod.{key}": value for key, value in state.items()}},
    }[kind]


@pytest.mark.parametrize("kind", ["released", "BasicSR", "bare", "DataParallel", "compiled"])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.filterwarnings("ignore:.*torch.jit.load.*")  # spandrel tries it on every .pt
def test_checkpoints_of_every_kind_load_and_run(net, kind, suffix, loader, tmp_path):
    torch.save(content(net, kind), tmp_path / f"net{suffix}")
    model = loader.load_from_file(tmp_path / f"net{suffix}")
    assert isinstance(model, spandrel.ImageModelDescriptor)
    assert (model.architecture.id, model.purpose, model.scale) == ("SMSR", "SR", 3)
    assert (model.input_channels, model.output_channels) == (3, 3)
    assert model.tags == ["6nf", "2nb", "3nl"]
    assert model.size_requirements.none
    assert not model.model.training
    lq = torch.rand(1, 3, 7, 11)
    torch.testing.assert_close(model(lq), upscaled(net, lq), **FP32)


def test_our_safetensors_load_and_run_at_any_size(net, loader, tmp_path):
    save(net, tmp_path / "net.safetensors")
    model = loader.load_from_file(tmp_path / "net.safetensors")
    for size in ((1, 1), (2, 1), (8, 5)):
        lq = torch.rand(1, 3, *size)
        torch.testing.assert_close(model(lq), upscaled(net, lq), **FP32)


def test_grey_networks_say_so(loader):
    grey = tiny_smsr(num_in_ch=1, num_out_ch=1, rgb_mean=(0.5,)).float()
    model = loader.load_from_state_dict(grey.state_dict())
    assert (model.input_channels, model.output_channels, model.scale) == (1, 1, 2)
    lq = torch.rand(1, 1, 4, 6)
    torch.testing.assert_close(model(lq), upscaled(grey, lq), **FP32)


MAIN_REGISTRY_SCRIPT = """
import sys, torch, spandrel, smsr_plugin.spandrel
for _ in range(2):
    smsr_plugin.spandrel.install()
assert [support.architecture.id for support in spandrel.MAIN_REGISTRY].count("SMSR") == 1
model = spandrel.ModelLoader().load_from_file(sys.argv[1])
print(model.architecture.id, tuple(model(torch.rand(1, 3, 4, 5)).shape), "basicsr" in sys.modules)
"""


def test_the_main_registry_is_the_default_and_basicsr_is_not_needed(net, tmp_path, interpreter):
    save(net, tmp_path / "net.safetensors")
    result = interpreter(tmp_path, MAIN_REGISTRY_SCRIPT, "net.safetensors")
    assert result.stdout == "SMSR (1, 3, 12, 15) False\n", result.stderr


def conversions(monkeypatch):
    """Return a list that grows by the precision of each sparse network that is made."""
    made, to_sparse = [], ours.to_sparse

    def recorded(net, precision):
        made.append(precision)
        return to_sparse(net, precision)

    monkeypatch.setattr(ours, "to_sparse", recorded)
    return made


def test_sparse_inference_is_made_once_for_each_state_of_the_weights(net, loader, monkeypatch):
    made = conversions(monkeypatch)
    model, lq = loader.load_from_state_dict(net.state_dict()), torch.rand(1, 3, 6, 9)
    for _ in range(2):
        torch.testing.assert_close(model(lq), upscaled(net, lq), **FP32)
    assert made == ["fp32"]
    with torch.no_grad():
        model.model.tail[0].weight *= 2
    torch.testing.assert_close(model(lq), upscaled(model.model, lq), **FP32)
    assert made == ["fp32"] * 2
    sr = model.bfloat16()(lq.bfloat16())
    assert sr.dtype == torch.bfloat16
    torch.testing.assert_close(sr.float(), upscaled(copy.deepcopy(model.model).float(), lq), **BF16)
    assert made == ["fp32", "fp32", "bf16"]


@torch.inference_mode()
def test_changes_are_followed_in_inference_mode_too(net, loader):
    model, lq = loader.load_from_state_dict(net.state_dict()), torch.rand(1, 3, 6, 9)
    before = model(lq)
    model.model.load_state_dict(tiny_smsr(1, upscale=3).state_dict())
    after = model(lq)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, upscaled(model.model, lq), **FP32)


def test_without_sparse_the_oracle_itself_runs(net, registry, monkeypatch):
    made = conversions(monkeypatch)
    loader = spandrel.ModelLoader(registry=registry)
    ours.install(registry=registry)
    before = loader.load_from_state_dict(net.state_dict())
    ours.install(registry=registry, sparse=False)
    after = loader.load_from_state_dict(net.state_dict())
    lq = torch.rand(1, 3, 5, 5)
    assert torch.equal(after(lq), upscaled(after.model, lq))
    assert not made
    before(lq)
    assert made == ["fp32"]


def test_what_sparse_inference_cannot_take_runs_dense(net, loader, monkeypatch):
    made = conversions(monkeypatch)
    model = loader.load_from_state_dict(net.state_dict())
    lq = torch.rand(1, 3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(model.to(torch.float64)(lq), upscaled(model.model, lq))
    assert not made


def test_half_precision_is_refused(net, loader):
    model = loader.load_from_state_dict(net.state_dict())
    assert model.supports_bfloat16
    with pytest.raises(spandrel.UnsupportedDtypeError):
        model.half()


@pytest.mark.reference
def test_half_precision_would_have_little_room_with_the_released_weights(test_data):
    net = load(test_data / "weights/smsr_x2_official.pt")
    checkerboard = (torch.arange(40)[:, None] + torch.arange(40)) % 2 * torch.ones(1, 3, 1, 1)
    largest = []
    for conv in (module for module in net.modules() if isinstance(module, torch.nn.Conv2d)):
        conv.register_forward_hook(lambda conv, x, out: largest.append(out.abs().max().item()))
    upscaled(net, checkerboard)
    assert max(largest) > torch.finfo(torch.float16).max / 8


def test_other_architectures_are_recognised_as_before(registry, loader):
    networks = {  # RCAN's keys are the nearest to the released ones: sub_mean, head, body, tail
        "RCAN": architectures.RCAN.RCAN(n_resgroups=1, n_resblocks=1, n_feats=8, reduction=4),
        "Compact": architectures.Compact.Compact(num_feat=8, num_conv=2),
        "ESRGAN": architectures.ESRGAN.ESRGAN(num_filters=8, num_blocks=1),
    }
    for name, network in networks.items():
        model = loader.load_from_state_dict(network.state_dict())
        assert model.architecture.id == name
    order = [support.architecture.id for support in registry.architectures("detection")]
    builtin = spandrel.MAIN_REGISTRY.architectures("detection")
    assert order == ["SMSR", *(support.architecture.id for support in builtin)]


def test_no_other_architecture_claims_ours(net, registry):
    for state in (net.state_dict(), released_form(net)):
        assert ours.is_smsr(state)
        assert not [
            support.architecture.id
            for support in registry
            if support.architecture.id != "SMSR" and support.detect(state)
        ]


@pytest.mark.parametrize("state", [{}, {"head.0.weight": torch.ones(1)}, {"params": {}}])
def test_what_is_no_smsr_is_not_claimed(state, loader):
    assert not ours.is_smsr({**state, 1: 2})
    assert not ours.is_smsr(state)
    with pytest.raises(spandrel.UnsupportedModelError):
        loader.load_from_state_dict(state)


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore:.*torch.jit.load.*")
def test_published_weights(test_data, loader):
    model = loader.load_from_file(test_data / "weights/smsr_x2_official.pt")
    assert (model.scale, model.tags) == (2, ["64nf", "5nb", "4nl"])
    others = [path for path in (test_data / "weights").iterdir() if "smsr" not in path.name]
    assert len(others) >= 8
    for path in others:
        assert not ours.is_smsr(loader.load_state_dict_from_file(path)), path


def test_an_smsr_that_is_broken_is_one_line(net, loader):
    state = net.state_dict()
    del state["collect.0.bias"]
    with pytest.raises(CheckpointError, match=r"only part of an SMSR \(1 keys missing: collect"):
        loader.load_from_state_dict(state)


def test_another_architecture_of_the_same_name_is_kept(registry):
    class Other(ours.spandrel.Architecture):
        def load(self, state_dict):
            raise NotImplementedError

    other = Other(id="SMSR", detect=lambda state: False)
    registry.add(spandrel.ArchSupport.from_architecture(other))
    with pytest.raises(RuntimeError, match="already holds another SMSR"):
        ours.install(registry=registry)
    assert registry["SMSR"].architecture is other


def test_without_spandrel_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    spec = importlib.util.spec_from_file_location("again", ours.__file__)
    with pytest.raises(ImportError, match="pip install spandrel"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
