"""Every engine computes the network it was given: the exports and settings are right."""

from __future__ import annotations

import importlib
import importlib.util
import re

import numpy as np
import pytest
import torch

from smsr_plugin import load
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.compare.difference import ORACLES, difference, oracle_output
from smsr_plugin.compare.engines.base import Input, Job, import_engine
from smsr_plugin.compare.engines.export import WRITERS, Exporter, ExportError
from smsr_plugin.compare.engines.process import EngineProcess
from smsr_plugin.compare.engines.spec import Sources, catalogue
from smsr_plugin.compare.networks.forms import build, load_rlfn

#: Largest difference from float64, images in 0…1: 24 bits with Winograd's loss, and 8 bits.
LIMITS = {"fp32": 2e-5, "bf16": 0.04}
#: bf16 must be bf16, not fp32 under its name.
LEAST_BF16 = 1e-5
#: The library that an engine module needs.
LIBRARIES = {".onnx_runtime": "onnxruntime", ".open_vino": "openvino", ".ncnn_net": "ncnn"}
EXPORTERS = {"onnx": "onnxscript", "ncnn": "pnnx"}

SPECS = {spec.name: spec for spec in catalogue(threads=1, with_rlfn=True)}
#: These are compiled or read their variables when they start, so they need their own process.
IN_WORKER = ["pytorch-compile", "ours-avx2"]
IN_PROCESS = [n for n, s in SPECS.items() if s.network in ORACLES and n not in IN_WORKER]


@pytest.fixture(scope="module")
def both(sources, tmp_path_factory):
    """Return checkpoints of a small SMSR and a small RLFN."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("rlfn") / "rlfn.pth"
    torch.save(RLFN(num_feat=16, upscale=2).state_dict(), path)
    return sources._replace(rlfn=path)


@pytest.fixture(scope="module")
def exporter(both, tmp_path_factory):
    return Exporter(tmp_path_factory.mktemp("models"), both)


def _skip_unless_there(spec):
    kernels = "smsr_plugin._kernels" if spec.backend == "native" else None
    for module in (LIBRARIES.get(spec.module), EXPORTERS.get(spec.model_format), kernels):
        if module and importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if kernels and spec.precision == "bf16" and not importlib.import_module(kernels).has_half():
        pytest.skip("the processor has no bfloat16 instructions")


@pytest.mark.parametrize("name", IN_PROCESS)
def test_agrees_with_its_oracle(name, both, exporter, lq):
    spec = SPECS[name]
    _skip_unless_there(spec)
    model = spec.model_format and exporter.model(spec.network, spec.model_format, (24, 18))
    engine = import_engine(spec.module).load(Job(spec, both, model))
    prepared = engine.prepare(Input(lq))
    output = engine.output(engine.run(prepared))
    assert output.dtype == np.float32
    found = difference(output, oracle_output(ORACLES[spec.network], both, lq))
    assert found.max_abs < LIMITS[spec.precision]
    if spec.precision == "bf16":
        assert found.max_abs > LEAST_BF16
    # A second run of the same input is the same: nothing was overwritten.
    np.testing.assert_array_equal(engine.output(engine.run(prepared)), output)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_WORKER)
def test_agrees_with_its_oracle_in_a_worker(name, sources, lq):
    spec = SPECS[name]
    _skip_unless_there(spec)
    with EngineProcess(spec) as process:
        process.call("import_library", spec)
        loaded = process.call("load", spec, sources, None)
        process.call("prepare", "lq", Input(lq))
        output = process.call("output", "lq")
    assert loaded == ("avx2" if name == "ours-avx2" else "")
    expected = oracle_output(ORACLES[spec.network], sources, lq)
    assert difference(output, expected).max_abs < LIMITS["fp32"]


def test_masked_and_sparse_engines_tell_their_densities(sources, lq):
    masks = load(sources.weights)(torch.from_numpy(lq), return_masks=True).spa_mask
    for name in ("masked", "reference"):
        engine = import_engine(SPECS[name].module).load(Job(SPECS[name], sources, None))
        prepared = engine.prepare(Input(lq))
        assert engine.spa_densities(prepared) == pytest.approx(masks.mean((0, 2, 3)).tolist())
        assert engine.breakdown(prepared) is None
    assert 0 < masks.mean() < 1


def test_ours_tells_its_densities_instruction_set_and_parts(sources, lq):
    _skip_unless_there(SPECS["ours"])
    engine = import_engine(SPECS["ours"].module).load(Job(SPECS["ours"], sources, None))
    prepared = engine.prepare(Input(lq))
    masks = load(sources.weights)(torch.from_numpy(lq), return_masks=True).spa_mask
    assert engine.spa_densities(prepared) == pytest.approx(masks.mean((0, 2, 3)).tolist())
    assert engine.loaded
    parts = engine.breakdown(prepared)
    assert len(parts) > 1
    assert min(parts.values()) >= 0
    assert 0 < sum(parts.values()) < 1


def test_a_threshold_reaches_the_sparse_network(sources, lq):
    spec = SPECS["reference"]
    engine = import_engine(spec.module).load(Job(spec, sources, None))
    for threshold, density in ((float("inf"), 0), (float("-inf"), 1)):
        prepared = engine.prepare(Input(lq, threshold))
        assert engine.spa_densities(prepared) == [density, density]
    # The engine's own network is still there with its own threshold.
    assert 0 < sum(engine.spa_densities(engine.prepare(Input(lq)))) < 2


def test_exports_are_made_once_and_failures_remembered(sources, tmp_path, monkeypatch):
    made = []

    def write(net, x, stem):
        made.append(x.shape)
        if x.shape[-1] == 5:
            raise OSError("disk full")
        return stem

    monkeypatch.setitem(WRITERS, "onnx", write)
    exporter = Exporter(tmp_path, sources)
    assert exporter.model("twin", "onnx", (7, 4)) == exporter.model("twin", "onnx", (7, 4))
    for _ in range(2):
        with pytest.raises(ExportError, match="export to onnx failed: OSError: disk full"):
            exporter.model("twin", "onnx", (5, 4))
    assert made == [(1, 3, 4, 7), (1, 3, 4, 5)]


def test_rlfn_is_known_by_its_shapes_and_nothing_else_is_one(both, lq):
    net = load_rlfn(both)
    assert net.img_range == 255
    twin = RLFN(num_feat=16, upscale=2, img_range=255.0)
    twin.load_state_dict(torch.load(both.rlfn, weights_only=True))
    x = torch.from_numpy(lq)
    torch.testing.assert_close(net(x), twin(x))
    with pytest.raises(CheckpointError, match=re.escape(f"{both.weights}: not a published RLFN")):
        load_rlfn(Sources(both.weights, both.weights))


@pytest.mark.parametrize(("network", "precision"), [("masked", "bf16"), ("edsr", "fp32")])
def test_networks_that_are_not_there_are_named(sources, network, precision):
    with pytest.raises(ValueError, match=f"no network '{network}' in {precision}"):
        build(network, sources, precision)
