from __future__ import annotations

import sys

import pytest
import torch
from basicsr.archs.srvgg_arch import SRVGGNetCompact
from networks import with_peaks
from pretended_kernels import pretend

import smsr_plugin
from smsr_plugin.archs.dense_twin import DenseTwin
from smsr_plugin.archs.density import density_curve
from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.compare.presets import DENSITIES, preset_networks
from smsr_plugin.compare.resolve import resolve
from smsr_plugin.networks.find import NetworkError, parse_network
from smsr_plugin.sparse import SparseNetwork
from smsr_plugin.training.options.errors import OptionError

TINY_PAN = "num_feat=4,num_up_feat=4,num_block=1"
X = torch.rand(1, 3, 9, 10, generator=torch.Generator().manual_seed(0))


def found(*texts, scale=2, engine="pytorch"):
    return resolve([parse_network(text) for text in texts], scale, engine, threads=1)


def output(network, precision="fp32"):
    with torch.no_grad():
        return network.source.build(precision, network.spec.backend)(X)


def test_forms_of_an_smsr(smsr_file):
    texts = [f"{smsr_file}{more}" for more in ("", ",form=masked", ",form=twin", ",threshold=1e9")]
    sparse, masked, twin, none = networks = found(*texts)
    assert [network.label for network in networks] == [
        *("SMSR sparse", "SMSR masked dense", "SMSR dense twin", "SMSR sparse t=1e+09")
    ]
    assert isinstance(sparse.source.build("fp32", "reference"), SparseNetwork)
    assert isinstance(twin.source.build("fp32"), DenseTwin)
    expected = smsr_plugin.load(smsr_file)
    torch.testing.assert_close(output(masked), expected(X).detach())
    torch.testing.assert_close(output(sparse), expected(X).detach(), rtol=0, atol=1e-5)
    of_none = expected(X, threshold=1e9).detach()
    torch.testing.assert_close(output(none), of_none, rtol=0, atol=1e-5)
    assert not torch.allclose(of_none, expected(X), atol=1e-4)
    assert sparse.spec.library.startswith("to_sparse")
    assert masked.spec.library == "PyTorch, channels-last"


def test_a_density_is_asked_of_every_form(smsr_file, tmp_path):
    net = smsr_plugin.load(smsr_file)
    with torch.no_grad():
        net.density_curve = density_curve(net(X, return_masks=True).logits)
    file = tmp_path / "curves.safetensors"
    smsr_plugin.save(net, file)
    sparse, masked = networks = found(f"{file},density=0.25", f"{file},form=masked,density=0.25")
    assert [network.label for network in networks] == [
        *("SMSR sparse d=0.25", "SMSR masked dense d=0.25")
    ]
    expected = smsr_plugin.load(file)
    expected.set_density(0.25)
    out = expected(X, return_masks=True)
    assert out.spa_mask.mean().item() == pytest.approx(0.25, abs=0.1)
    torch.testing.assert_close(output(masked), out.sr.detach())
    torch.testing.assert_close(output(sparse), out.sr.detach(), rtol=0, atol=1e-5)


def test_registered_networks(pan_file):
    weighted, fresh = found(f"PAN={pan_file},{TINY_PAN},engine=openvino", f"PAN,{TINY_PAN}")
    assert (weighted.label, fresh.label) == ("PAN openvino", "PAN")
    assert (weighted.has_weights, fresh.has_weights) == (True, False)
    assert weighted.spec.model_format == "onnx"
    net = PAN(num_feat=4, num_up_feat=4, num_block=1, upscale=2)
    net.load_state_dict(torch.load(pan_file, weights_only=True)["params"])
    torch.testing.assert_close(output(weighted), net(X).detach())
    state = torch.get_rng_state()
    assert torch.equal(output(fresh), output(fresh))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(output(fresh), output(weighted))


def test_an_engine_that_quantises_is_in_int8_without_saying_so():
    (network,) = found(f"PAN,{TINY_PAN},engine=openvino-int8")
    assert (network.label, network.spec.precision) == ("PAN openvino-int8", "int8")
    assert found(f"PAN,{TINY_PAN}", engine="openvino-int8")[0].spec.precision == "int8"


def test_bfloat16_is_bfloat16(pan_file):
    (network,) = found(f"PAN={pan_file},{TINY_PAN},precision=bf16")
    half, full = output(network, "bf16"), output(network)
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.05


def test_int8_is_for_a_sparse_smsr_with_peaks(smsr_file, tmp_path, monkeypatch):
    file = tmp_path / "peaks.safetensors"
    smsr_plugin.save(with_peaks(smsr_plugin.load(smsr_file)), file)
    pretend(monkeypatch, "amx")
    (network,) = found(f"{file},precision=int8")
    assert network.label == "SMSR sparse int8"
    assert (network.spec.precision, network.spec.backend) == ("int8", "native")
    for text, message in (
        (f"{smsr_file},precision=int8", "no peaks tell what 8 bits have to span"),
        (f"{file},precision=int8,backend=reference", "is for the native kernels"),
        (f"{file},precision=int8,form=twin", "pytorch is not measured in int8"),
        (f"PAN,{TINY_PAN},precision=int8", "pytorch is not measured in int8"),
    ):
        with pytest.raises(NetworkError, match=message):
            found(text)
    pretend(monkeypatch, "avx2")
    with pytest.raises(NetworkError, match="needs matrix tiles"):
        found(f"{file},precision=int8")


def test_presets_have_int8_where_it_runs(smsr_file, tmp_path, monkeypatch):
    file = tmp_path / "peaks.safetensors"
    smsr_plugin.save(with_peaks(smsr_plugin.load(smsr_file)), file)

    def int8(file, *patterns, preset="engines"):
        networks = preset_networks(preset, [parse_network(str(file))], 2, 1, patterns)
        return [(n.label, n.densities) for n in networks if n.source.form == "sparse"
                and n.spec.precision == "int8"]  # fmt: skip

    pretend(monkeypatch, "amx")
    assert int8(file, "ours*") == [("ours-int8", ())]
    assert int8(file, "ours*", preset="density") == [("ours-int8", DENSITIES)]
    assert int8(smsr_file, "ours*") == []
    with pytest.raises(NetworkError, match="no peaks tell what 8 bits have to span"):
        int8(smsr_file, "ours-int8")  # was asked for
    assert int8(f"{file},precision=int8", "SMSR*", preset="frontier") == [("SMSR", ())]
    pretend(monkeypatch, "avx512_bf16")
    assert int8(file, "ours*") == []


def test_option_files(pan_file, smsr_file, tmp_path):
    file = tmp_path / "pan.yml"
    file.write_text(
        "scale: 2\nnetwork_g: {type: PAN, num_feat: 4, num_up_feat: 4, num_block: 1}\n"
        f"path: {{pretrain_network_g: {pan_file}, param_key_g: params_ema}}\n"
    )
    (network,) = found(str(file))
    assert network.label == "PAN"
    assert torch.equal(output(network), output(*found(f"PAN={pan_file},{TINY_PAN}")))
    file.write_text("network_g: {type: PAN}\n")
    (network,) = found(f"{file},num_block=2")
    assert not network.has_weights
    assert len(network.source.load().SCPA_trunk) == 2
    options = "num_feat: 16, num_layer: 3, num_block: 2"
    file.write_text(
        f"network_g: {{type: SMSR, {options}}}\npath: {{pretrain_network_g: {smsr_file}}}\n"
    )
    assert torch.equal(output(*found(str(file))), output(*found(str(smsr_file))))


def test_what_spandrel_recognises(tmp_path):
    pytest.importorskip("spandrel")
    torch.manual_seed(0)
    net = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2)
    torch.save({"params": net.state_dict()}, tmp_path / "compact.pth")
    (network,) = found(str(tmp_path / "compact.pth"))
    assert network.label == "RealESRGAN Compact"
    torch.testing.assert_close(output(network), net(X).detach().clamp(0, 1))
    with pytest.raises(NetworkError, match="is a network for x2, and the others are for x4"):
        found(str(tmp_path / "compact.pth"), scale=4)


def test_without_spandrel_it_is_said_what_would_help(pan_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(NetworkError) as caught:
        found(str(pan_file))
    for part in ("pan.pth: holds another network, PAN", "smsr_plugin[spandrel]", "PAN=pan.pth"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_nobody_recognises(pan_file):
    pytest.importorskip("spandrel")
    with pytest.raises(NetworkError, match=r"spandrel does not recognise it.*: PAN=pan\.pth"):
        found(str(pan_file))


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (["absent.pth"], CheckpointError, "absent.pth: cannot be read: No such file"),
        (["PAN=absent.pth"], CheckpointError, "absent.pth: cannot be read"),
        (["PANN"], OptionError, r"no network is called 'PANN' \(did you mean PAN\?\)"),
        (["PAN,num_fat=3"], OptionError, "no option 'num_fat'"),
        (["PAN=PAN_FILE"], CheckpointError, "pan.pth: does not fit PAN"),
        (["SMSR_FILE,num_feat=3"], NetworkError, "num_feat: a file has no options"),
        (["SMSR=SMSR_FILE"], NetworkError, "asked for was SMSRConfig"),
        (["SMSR_FILE,engine=ncnn"], NetworkError, "a sparse network runs on its own kernels"),
        (["SMSR_FILE,form=masked,precision=bf16"], NetworkError, "not measured in bf16"),
        (["SMSR_FILE,form=twin,threshold=1"], NetworkError, "threshold is for form=sparse"),
        (["SMSR_FILE,threshold=nan"], NetworkError, "threshold is a number"),
        (["SMSR_FILE,density=much"], NetworkError, "density is a number, got 'much'"),
        (["SMSR_FILE,density=0.3"], NetworkError, "this one takes a threshold"),
        (["SMSR_FILE,form=twin,density=1"], NetworkError, "a dense twin computes every pixel"),
        (["PAN,form=twin"], NetworkError, "form: only networks with masks have that"),
        (["PAN,engine=onnxruntime,precision=bf16"], NetworkError, "onnxruntime is not measured in"),
        (["PAN,engine=openvino-int8,precision=bf16"], NetworkError, "int8 is not measured in bf16"),
        (["PAN,engine=tensorrt"], NetworkError, "engine must be one of pytorch, .* 'tensorrt'"),
        (["PAN,threads=0"], NetworkError, "threads is a whole number from 1, got '0'"),
        (["SMSR_FILE,form=twin,isa=avx2"], NetworkError, "backend and isa are for form=sparse"),
        (["SMSR_FILE", "SMSR_FILE"], NetworkError, "'SMSR sparse' is taken; give it a name by"),
        (["PAN,label=Bicubic"], NetworkError, "'Bicubic' is taken"),
        (["ECBSR,num_in_ch=1,num_out_ch=1"], NetworkError, "takes 1 channels"),
        (["RIDNet,in_channels=3,mid_channels=16,out_channels=3,num_block=1"], NetworkError,
         "is a network for x1, and the others are for x2"),
        (["absent.yml"], OptionError, "cannot read the option file absent.yml"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told(texts, error, message, smsr_file, pan_file):
    files = {"SMSR_FILE": str(smsr_file), "PAN_FILE": str(pan_file)}
    for name, path in files.items():
        texts = [text.replace(name, path) for text in texts]
    with pytest.raises(error, match=message) as caught:
        found(*texts)
    assert "\n" not in str(caught.value)
