"""Every engine computes the network it was given: the exports and settings are right."""

from __future__ import annotations

import copy
import ctypes
import importlib
import importlib.util
import sys
from typing import Any

import numpy as np
import pytest
import torch

import smsr_plugin
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.compare.images import CROPS
from smsr_plugin.compare.oracle import difference, exact_output
from smsr_plugin.compare.presets import preset_networks
from smsr_plugin.engines import export
from smsr_plugin.engines.base import Input, Job, import_engine
from smsr_plugin.engines.export import WRITERS, Exporter, ExportError
from smsr_plugin.engines.process import EngineProcess
from smsr_plugin.engines.spec import dense_spec
from smsr_plugin.networks.find import parse_network
from smsr_plugin.networks.forms import masked_as

#: Largest difference from float64, images in 0…1: 24 bits with Winograd's loss, and 8 bits.
LIMITS = {"fp32": 2e-5, "bf16": 0.04}
#: bf16 must be bf16, not fp32 under its name.
LEAST_BF16 = 1e-5
#: The library that an engine module needs.
LIBRARIES = {".onnx_runtime": "onnxruntime", ".open_vino": "openvino", ".ncnn_net": "ncnn"}
EXPORTERS = {"onnx": "onnxscript", "ncnn": "pnnx"}

DENSE = ("pytorch", "onnxruntime", "openvino", "openvino-bf16", "ncnn", "ncnn-bf16")
IN_PROCESS = [
    *(*DENSE, "pytorch-bf16", "masked", "reference", "reference-bf16", "ours", "ours-bf16"),
    *(f"rlfn-{name}" for name in DENSE),
]
#: These are compiled or read their variables when they start, so they need their own process.
IN_WORKER = ["pytorch-compile", "ours-avx2"]
#: These are quantised.
IN_INT8 = ["openvino-int8", "rlfn-openvino-int8"]


@pytest.fixture(scope="module")
def networks(smsr_file, tmp_path_factory):
    """Return a small SMSR and a small RLFN in all their engines, by label."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("rlfn") / "rlfn.pth"
    torch.save(RLFN(num_feat=16, upscale=2).state_dict(), path)
    rlfn = f"RLFN={path},num_feat=16,label=rlfn"
    arguments = [parse_network(text) for text in (str(smsr_file), rlfn)]
    return {n.label: n for n in preset_networks("engines", arguments, scale=2, threads=1)}


@pytest.fixture(scope="module")
def exporter(tmp_path_factory):
    return Exporter(tmp_path_factory.mktemp("models"))


def _skip_unless_there(spec):
    kernels = "smsr_plugin._kernels" if spec.backend == "native" else None
    for module in (LIBRARIES.get(spec.module), EXPORTERS.get(spec.model_format), kernels):
        if module and importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if spec.precision == "bf16" and (
        (kernels and not importlib.import_module(kernels).has_half())
        or (spec.module == ".open_vino" and not _openvino_has_half())
    ):
        pytest.skip("the processor has no bfloat16 instructions")


def _openvino_has_half():
    openvino = pytest.importorskip("openvino")
    return importlib.import_module("smsr_plugin.engines.open_vino").has_half(openvino.Core())


def test_no_engine_is_left_out(networks):
    assert sorted(networks) == sorted([*IN_PROCESS, *IN_WORKER, *IN_INT8, "matmul"])


@pytest.mark.parametrize("name", IN_PROCESS)
def test_agrees_with_float64(name, networks, exporter, lq):
    spec, source = networks[name].spec, networks[name].source
    _skip_unless_there(spec)
    model = spec.model_format and exporter.model(source, spec.model_format, (24, 18))
    engine = import_engine(spec.module).load(Job(spec, source, model))
    prepared = engine.prepare(Input(lq))
    output = engine.output(engine.run(prepared))
    assert output.dtype == np.float32
    found = difference(output, exact_output(source, lq))
    assert found.max_abs < LIMITS[spec.precision]
    if spec.precision == "bf16":
        assert found.max_abs > LEAST_BF16
    # A second run of the same input is the same, and so is the one that tells more.
    np.testing.assert_array_equal(engine.output(engine.run(prepared)), output)
    np.testing.assert_array_equal(engine.inspect(prepared).sr, output)


def test_openvino_says_where_it_has_no_bfloat16(networks, exporter):
    """It would run in float32 under the name of bfloat16."""
    pytest.importorskip("onnxscript")
    if _openvino_has_half():
        pytest.skip("the processor has bfloat16 instructions, so that nothing is refused")
    spec, source = networks["openvino-bf16"].spec, networks["openvino-bf16"].source
    model = exporter.model(source, spec.model_format, (24, 18))
    with pytest.raises(
        RuntimeError, match="runs f32 in place of bf16 on this processor: take fp32"
    ):
        import_engine(spec.module).load(Job(spec, source, model))


class Small(torch.nn.Module):
    """Three convolutions, of which the second has neither the image before nor after it."""

    def __init__(self):
        super().__init__()
        self.head, self.body, self.tail = (
            torch.nn.Conv2d(*channels, 3, padding=1) for channels in ((3, 8), (8, 10), (18, 3))
        )

    def forward(self, x):
        features = self.head(x)
        return self.tail(torch.cat((features, self.body(features).relu()), 1)) + x

    def build(self, precision):
        return self


def _write_traced(net, x, stem, dynamic):
    """Write what OpenVINO reads in place of ONNX, which takes seconds to write."""
    openvino = importlib.import_module("openvino")
    path = stem.with_name("float.xml")
    shape = [-1, 3, -1, -1] if dynamic else list(x.shape)
    openvino.save_model(openvino.convert_model(net, example_input=x, input=shape), path, False)
    return path


def test_a_quantised_network_is_made_once_and_is_nearly_the_network(tmp_path, lq, monkeypatch):
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    quantised = importlib.import_module("smsr_plugin.engines.quantised")
    monkeypatch.setattr(quantised, "CROPS", len(quantised.PHOTOGRAPHS))
    monkeypatch.setattr(export, "write_onnx", _write_traced)
    torch.manual_seed(0)
    net: Any = Small()
    spec, exporter = dense_spec("openvino-int8", 1), Exporter(tmp_path)
    for height in (18, 9):  # the second file is made of the first one's weights
        stack = _signal_stack()
        model = exporter.model(net, "int8", (24, height))
        assert _signal_stack() == stack
        engine = import_engine(spec.module).load(Job(spec, None, model))
        x = np.ascontiguousarray(lq[:, :, :height])
        with torch.no_grad():
            expected = copy.deepcopy(net).double()(torch.from_numpy(x).double()).numpy()
        output = engine.output(engine.run(engine.prepare(Input(x))))
        assert _signal_stack() == stack
        psnr = difference(output, expected).psnr
        assert psnr is not None
        assert 30 < psnr < 80
        of_8_bits = [
            tuple(op.shape)
            for op in openvino.Core().read_model(model).get_ops()
            if op.get_type_name() == "Constant" and op.get_element_type() == openvino.Type.i8
        ]
        assert of_8_bits == [(10, 8, 3, 3)]
        monkeypatch.setattr(quantised, "quantise", None)


def test_calibration_images_are_photographs_of_their_own():
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    quantised = importlib.import_module("smsr_plugin.engines.quantised")
    images = quantised.calibration_images()
    assert {image.shape for image in images} == {(1, 3, quantised.SIDE, quantised.SIDE)}
    assert len({image.tobytes() for image in images}) == quantised.CROPS
    assert not {*CROPS} & {*quantised.PHOTOGRAPHS}


def test_without_nncf_it_is_said_what_to_install(networks, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.delitem(sys.modules, "smsr_plugin.engines.quantised", raising=False)
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ExportError) as caught:
        Exporter(tmp_path).model(networks["openvino-int8"].source, "int8", (24, 18))
    assert str(caught.value) == (
        "export to int8 failed: nncf is not installed: pip install 'smsr_plugin[bench]'"
    )


def _signal_stack():
    """Return where this thread handles signals that ask for a stack of their own, as bytes."""
    stack = (ctypes.c_char * 24)()
    assert ctypes.CDLL(None).sigaltstack(None, stack) == 0
    return bytes(stack)


@pytest.mark.skipif(sys.platform != "linux", reason="stack_t is laid out otherwise")
def test_openvino_leaves_this_thread_its_signal_stack(networks, exporter):
    _skip_unless_there(networks["openvino"].spec)
    network = networks["openvino"]
    model = exporter.model(network.source, "onnx", (8, 8))
    before = _signal_stack()
    import_engine(network.spec.module).load(Job(network.spec, network.source, model))
    assert _signal_stack() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_WORKER)
def test_agrees_with_float64_in_a_worker(name, networks, lq):
    spec, source = networks[name].spec, networks[name].source
    _skip_unless_there(spec)
    with EngineProcess(spec) as process:
        process.call("import_library", spec)
        loaded = process.call("load", spec, source, None)
        process.call("prepare", "lq", Input(lq))
        output = process.call("inspect", "lq").sr
    assert loaded == ("avx2" if name == "ours-avx2" else "")
    assert difference(output, exact_output(source, lq)).max_abs < LIMITS["fp32"]


def load(network):
    return import_engine(network.spec.module).load(Job(network.spec, network.source))


def test_masked_and_sparse_engines_tell_their_densities(networks, smsr_file, lq):
    masks = smsr_plugin.load(smsr_file)(torch.from_numpy(lq), return_masks=True).spa_mask
    for name in ("masked", "reference"):
        engine = load(networks[name])
        prepared = engine.prepare(Input(lq))
        densities = engine.inspect(prepared).spa_densities
        assert densities == pytest.approx(masks.mean((0, 2, 3)).tolist())
        assert engine.breakdown(prepared) is None
    assert 0 < masks.mean() < 1
    dense = load(networks["pytorch"])
    assert dense.inspect(dense.prepare(Input(lq))).spa_densities is None


def test_ours_tells_its_densities_instruction_set_and_parts(networks, smsr_file, lq):
    _skip_unless_there(networks["ours"].spec)
    engine = load(networks["ours"])
    prepared = engine.prepare(Input(lq))
    masks = smsr_plugin.load(smsr_file)(torch.from_numpy(lq), return_masks=True).spa_mask
    densities = engine.inspect(prepared).spa_densities
    assert densities == pytest.approx(masks.mean((0, 2, 3)).tolist())
    assert engine.loaded
    parts = engine.breakdown(prepared)
    assert len(parts) > 1
    assert min(parts.values()) >= 0
    assert 0 < sum(parts.values()) < 1


def test_a_threshold_reaches_the_sparse_network(networks, lq):
    engine = load(networks["reference"])
    for threshold, density in ((float("inf"), 0), (float("-inf"), 1)):
        prepared = engine.prepare(Input(lq, threshold))
        assert engine.inspect(prepared).spa_densities == [density, density]
    # The engine's own network is still there with its own threshold.
    assert 0 < sum(engine.inspect(engine.prepare(Input(lq))).spa_densities) < 2


def test_exports_are_made_once_and_failures_remembered(networks, tmp_path, monkeypatch):
    made = []

    def write(net, x, stem):
        made.append(x.shape)
        if x.shape[-1] == 5:
            raise OSError("disk full")
        return stem

    monkeypatch.setitem(WRITERS, "onnx", write)
    exporter, twin = Exporter(tmp_path), networks["onnxruntime"].source
    assert networks["openvino"].source == twin
    first = exporter.model(twin, "onnx", (7, 4))
    assert exporter.model(twin, "onnx", (7, 4)) == first
    for _ in range(2):
        with pytest.raises(ExportError, match="export to onnx failed: OSError: disk full"):
            exporter.model(twin, "onnx", (5, 4))
    assert made == [(1, 3, 4, 7), (1, 3, 4, 5)]
    assert exporter.model(networks["rlfn-openvino"].source, "onnx", (7, 4)) != first


@pytest.mark.parametrize(("form", "precision"), [("masked", "bf16"), ("dense", "fp32")])
def test_forms_that_are_not_there_are_named(smsr_file, form, precision):
    with pytest.raises(ValueError, match=f"no form '{form}' in {precision}"):
        masked_as(form, smsr_plugin.load(smsr_file), precision)
