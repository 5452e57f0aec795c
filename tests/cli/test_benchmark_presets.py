"""Presets of `smsr benchmark`, with small random networks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from benchmarks import PAN_OPTIONS, main, preset, results
from masked_networks import tiny_masked_rlfn

import smsr_plugin
from smsr_plugin.archs.density import density_curve
from smsr_plugin.compare import plots, presets
from smsr_plugin.networks.find import parse_network


def test_the_engines_of_an_smsr(files, noise, capsys, has_kernels):
    ours = "ours" if has_kernels else "reference"
    names = ("pytorch", ours, "matmul")
    smsr = files / "weights/smsr.safetensors"
    assert preset("engines", files, smsr, "--images", noise, "--engines", *names) == 0
    comparison = results(files / "out")
    found = {n.label: m for n, m in comparison.on("lq", "noise")}
    assert list(found) == list(names)
    assert {len(measured.seconds) for measured in found.values()} == {2}
    for name in names[:2]:
        assert found[name].lq_size == (24, 18)
        assert 0 < found[name].difference.max_abs < 1e-5
    assert 0 < found[ours].density < 1
    assert found[ours].macs < found["pytorch"].macs
    if found[ours].peak_mib is not None:
        assert 0 < found[ours].running_peak_mib <= found[ours].peak_mib < 1024
    printed = capsys.readouterr().out
    assert has_kernels == ("ours fp32 against PyTorch, dense twin fp32" in printed)
    assert has_kernels == ("| part, ms" in printed)
    assert printed in (files / "out/results.md").read_text()
    assert str(files) not in (files / "out/results.json").read_text()
    written = {path.name: path.read_bytes() for path in (files / "out").iterdir()}
    (files / "out/results.md").unlink()
    assert main("--redraw", "--out", files / "out") == 0
    assert {path.name: path.read_bytes() for path in (files / "out").iterdir()} == written


@pytest.mark.usefixtures("in_process")
def test_a_frontier_goes_through_the_dial(files, monkeypatch, has_kernels):
    if not has_kernels:
        pytest.skip("networks with masks are run by the native kernels, which were not built")
    monkeypatch.setattr(presets, "DIAL", (1.0, 0.5))
    monkeypatch.setattr(presets, "FASTEST", "pytorch")
    net = tiny_masked_rlfn().float()
    scores = net.predictor(torch.rand(1, 3, 64, 64))
    net.density_curve = density_curve(scores.reshape(1, 1, -1, 1))
    smsr_plugin.save(net, files / "weights/masked.safetensors")
    options = ",".join(f"{name}={value}" for name, value in PAN_OPTIONS.items())
    networks = [
        f"{files / 'weights/masked.safetensors'},label=M",
        f"{files / 'weights/smsr.safetensors'},label=S",
        f"PAN={files / 'weights/pan.pth'},{options}",
    ]
    arguments = ("--images", files / "Tiny/HR", "--engines", "M*", "S", "PAN")
    assert preset("frontier", files, *networks, *arguments) == 0
    found = results(files / "out").networks[1:]  # the first is bicubic
    assert [network.label for network in found] == ["M d=1", "M d=0.5", "S", "PAN"]
    densities = [network.measurements[0].density for network in found[:2]]
    assert 0 < densities[1] < densities[0] == 1
    assert all(len(network.measurements) == 2 for network in found)
    assert all(network.psnr_y("Tiny") is not None for network in found)


def test_a_frontier_takes_a_network_in_the_engine_that_it_names():
    options = ",".join(f"{name}={value}" for name, value in PAN_OPTIONS.items())
    arguments = [parse_network(f"PAN,{options}{more}") for more in ("", ",engine=openvino-int8")]
    found = presets.preset_networks("frontier", arguments, 2, 1)
    assert [(network.label, network.spec.precision) for network in found] == [
        *(("PAN", "fp32"), ("PAN bf16", "bf16"), ("PAN openvino-int8", "int8"))
    ]


def test_a_dial_is_one_line_of_a_plot():
    labels = ["A d=1", "A d=0.5", "B", "C d=0.3"]
    networks = [SimpleNamespace(label=label) for label in labels]
    styles = plots._styles(networks)
    series = plots._series(networks, styles)
    assert {name: (style["linestyle"], found) for name, (style, found) in series.items()} == {
        "A": ("-", {"A d=1", "A d=0.5"}),
        "B": ("none", {"B"}),
        "C": ("none", {"C d=0.3"}),
    }
    assert styles["A d=1"] == styles["A d=0.5"] != styles["B"]


@pytest.mark.usefixtures("in_process")
def test_time_against_density(files, noise, has_kernels):
    if not has_kernels:
        pytest.skip("the sweep is of the native kernels, which were not built")
    smsr = files / "weights/smsr.safetensors"
    names = ("ours", "ncnn", "matmul")
    code = preset("density", files, smsr, "--images", noise, "--engines", *names)
    comparison = results(files / "out")
    ours, ncnn = (next(n for n in comparison.networks if n.label == k) for k in names[:2])
    assert [m.wanted_density for m in ours.measurements] == [step / 10 for step in range(11)]
    densities = [m.density for m in ours.measurements]
    assert densities == pytest.approx([step / 10 for step in range(11)], abs=0.03)
    macs = [m.macs for m in ours.measurements]
    assert macs == sorted(macs)
    assert (code, len(ncnn.measurements)) == ((1, 0) if ncnn.failures else (0, 1))
    assert "Floor" not in (files / "out/results.md").read_text()
    assert "## Time against density, noise" in (files / "out/results.md").read_text()


@pytest.mark.usefixtures("in_process")
def test_training_against_the_formulas(files, monkeypatch, capsys):
    monkeypatch.setattr(presets, "BATCH", 2)
    monkeypatch.setattr(presets, "SIDE", 8)
    names = ("naive", "ours-bf16-channels-last")
    assert preset("training", files, "--engines", *names) == 0
    rows = list(results(files / "out").on("training", "2 images of noise"))
    assert [network.label for network, _ in rows] == list(names)
    for _, measured in rows:
        assert len(measured.seconds) == 2
        assert measured.peak_mib is None or measured.peak_mib > 0
    assert "## 2 images of noise, lq 8×8" in capsys.readouterr().out
