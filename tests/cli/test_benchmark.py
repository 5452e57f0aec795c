"""From the command line to the files, with small random networks.

One test runs them in processes of their own, as users do; the others save the starts.
"""

from __future__ import annotations

import csv
import errno
import importlib.util
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from masked_networks import tiny_masked_rlfn
from networks import tiny_smsr
from PIL import Image
from smsr_cost import SMSRCost, dense_channels

import smsr_plugin
from smsr_plugin.archs.density import density_curve
from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.cli import main as roof
from smsr_plugin.compare import images, plots, presets
from smsr_plugin.compare.images import ImageSource, load_case
from smsr_plugin.compare.perceptual import METRICS
from smsr_plugin.compare.results import Comparison
from smsr_plugin.compare.run import Run
from smsr_plugin.complexity.counter import profile
from smsr_plugin.engines.process import EngineError
from smsr_plugin.engines.worker import Worker
from smsr_plugin.images.bicubic import upscale
from smsr_plugin.images.pixels import to_image
from smsr_plugin.images.quality import compare
from smsr_plugin.networks.find import parse_network


class InProcess:
    """Stands for `EngineProcess`: the worker's calls, in this process."""

    def __init__(self, spec):
        self.spec, self.worker = spec, Worker()

    def call(self, method, *arguments):
        try:
            return getattr(self.worker, method)(*arguments)
        except Exception as error:
            raise EngineError(f"{type(error).__name__}: {error}") from error

    def close(self):
        pass


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr("smsr_plugin.compare.measure.EngineProcess", InProcess)


@pytest.fixture(scope="session")
def has_kernels():
    """Tell whether the native kernels were built."""
    return importlib.util.find_spec("smsr_plugin._kernels") is not None


PAN_OPTIONS = {"num_feat": 4, "num_up_feat": 4, "num_block": 1}


def main(*arguments):
    return roof.main(["benchmark", *map(str, arguments)])


@pytest.fixture
def files(tmp_path):
    """Return weights/{smsr.safetensors,pan.pth,rlfn.pth} and Tiny/HR/{a,b}.png."""
    torch.manual_seed(0)
    (tmp_path / "weights").mkdir()
    smsr_plugin.save(tiny_smsr(num_feat=16), tmp_path / "weights/smsr.safetensors")
    torch.save(PAN(**PAN_OPTIONS, upscale=2).state_dict(), tmp_path / "weights/pan.pth")
    torch.save(RLFN(num_feat=4, upscale=2).state_dict(), tmp_path / "weights/rlfn.pth")
    (tmp_path / "Tiny/HR").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, size in (("a", (32, 40)), ("b", (31, 37))):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"Tiny/HR/{name}.png")
    return tmp_path


@pytest.fixture
def arguments(files):
    options = ",".join(f"{key}={value}" for key, value in PAN_OPTIONS.items())
    return [
        *(files / "weights/smsr.safetensors", f"PAN={files / 'weights/pan.pth'},{options}"),
        *("--images", files / "Tiny/HR", "--threads", 1, "--rounds", 2, "--out", files / "out"),
    ]


@pytest.mark.slow
def test_figures_are_those_of_the_networks(files, arguments, capsys):
    assert main(*arguments) == 0
    with (files / "out/images.csv").open() as file:
        rows = {(row["network"], row["image"]): row for row in csv.DictReader(file)}
    assert len(rows) == 6
    smsr, pan = tiny_smsr(num_feat=16).float(), PAN(**PAN_OPTIONS, upscale=2).eval()
    pan.load_state_dict(torch.load(files / "weights/pan.pth", weights_only=True))
    cost = SMSRCost(smsr.config, dense_channels(smsr))
    for name in "ab":
        pair = load_case(ImageSource("Tiny", name, files / f"Tiny/HR/{name}.png", is_gt=True), 2)
        x = torch.from_numpy(pair.lq)
        with torch.no_grad():
            masked, of_pan = smsr(x, return_masks=True), pan(x)
        enlarged = upscale((pair.lq[0].transpose(1, 2, 0) * 255).round().astype(np.uint8), 2)
        for network, sr in (
            ("Bicubic", enlarged),
            ("SMSR sparse", to_image(masked.sr.numpy())),
            ("PAN", to_image(of_pan.numpy())),
        ):
            row, expected = rows[network, name], compare(sr, pair.gt, 2)
            assert float(row["psnr_y"]) == pytest.approx(expected.psnr_y, abs=0.01)
            assert float(row["ssim_y"]) == pytest.approx(expected.ssim_y, abs=1e-3)
        densities = masked.spa_mask[0].double().mean((1, 2)).tolist()
        row = rows["SMSR sparse", name]
        assert float(row["density"]) == pytest.approx(np.mean(densities))
        assert float(row["macs"]) == pytest.approx(cost.macs(densities, x[0, 0].numel()))
        assert float(row["seconds"]) > 0
    printed, told = capsys.readouterr()
    assert "| SMSR sparse |" in printed
    assert "peak MiB" in printed
    assert "run/s" not in told  # a bar is for terminals
    results = (files / "out/results.json").read_text()
    assert str(files) not in results + (files / "out/results.md").read_text()
    assert json.loads(results)["sets"] == {"Tiny": 2}


@pytest.mark.usefixtures("in_process")
def test_a_run_that_was_stopped_goes_on(files, arguments, monkeypatch, capsys):
    whole = Run.measure

    def measure(self, progress):
        def stop_after_an_image(doing, done):
            progress(doing, done)
            if done:
                raise KeyboardInterrupt

        whole(self, stop_after_an_image)

    monkeypatch.setattr(Run, "measure", measure)
    quick = [*arguments, "--rounds", "0"]
    assert main(*quick) == 130
    assert "the same command goes on" in capsys.readouterr().err
    journal = files / "out/journal.jsonl"
    assert {path.name for path in (files / "out").iterdir()} == {journal.name}
    kept = journal.read_text().splitlines()
    assert len(kept) == 4  # settings, Bicubic, two networks on one image
    monkeypatch.setattr(Run, "measure", whole)
    assert main(*quick) == 0
    lines = journal.read_text().splitlines()
    assert lines[:4] == kept
    assert len(lines) == 7
    capsys.readouterr()
    assert main(*quick, "--json") == 0
    assert journal.read_text().splitlines() == lines  # all is there, nothing is measured again
    assert json.loads(capsys.readouterr().out)["networks"][2]["label"] == "PAN"


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("at", [0, 2])  # where the journal begins, and where it goes on
def test_a_full_disk_is_told_with_the_file_and_what_to_do(
    files, arguments, monkeypatch, capsys, at
):
    calls, fsync = [], os.fsync

    def fill(descriptor):
        calls.append(descriptor)
        if len(calls) > at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fill)
    code = main(*arguments, "--rounds", "0")
    *_, error = capsys.readouterr().err.splitlines()
    told = (
        f"{files / 'out/journal.jsonl'}: No space left on device; make room there or name another"
    )
    assert error.startswith(f"smsr benchmark: error: {told} place")
    assert (code, error.endswith("the same command goes on")) == ((1, True) if at else (2, False))


@pytest.mark.usefixtures("in_process")
def test_ntires_table_is_made_beside_the_others(files, arguments, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    small = {
        n: images.Crop(lambda: rng.integers(0, 256, (8, 12, 3), np.uint8), 0, 0, 12, 8)
        for n in "pq"
    }
    monkeypatch.setattr(images, "NTIRE_CROPS", small)
    assert main(*arguments, "--ntire", "--rounds", "1") == 0
    printed = capsys.readouterr().out
    table = (files / "out/ntire.md").read_text()
    assert table in printed + "\n"
    assert "## p, lq" not in printed
    found = results(files / "out")
    assert found.sets == {"ntire": 2, "Tiny": 2}
    pan = next(network for network in found.networks if network.label == "PAN")
    expected = profile(PAN(**PAN_OPTIONS, upscale=2), (8, 12))
    assert {m.activations for m in pan.measurements[:2]} == {expected.activations}
    smsr = next(network for network in found.networks if network.label == "SMSR sparse")
    every_pixel = profile(tiny_smsr(num_feat=16), (8, 12)).activations
    assert all(0 < m.activations < every_pixel for m in smsr.measurements[:2])
    assert r"PAN & " in (files / "out/ntire.tex").read_text()
    (files / "out/ntire.tex").unlink()
    assert main("--redraw", "--out", files / "out") == 0
    assert (files / "out/ntire.tex").exists()


@pytest.mark.usefixtures("in_process")
def test_other_settings_are_refused(files, arguments, capsys):
    assert main(*arguments, "--rounds", "0", "--images", files / "Tiny/HR") == 0
    capsys.readouterr()
    assert main(*arguments, "--rounds", "0", "--threads", "2") == 2
    error = capsys.readouterr().err
    assert "holds measurements with other settings (threads: 1, now 2); take another" in error
    assert error.startswith("smsr benchmark: error: ")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("in_process")
def test_what_fails_is_named_and_the_rest_goes_on(files, arguments, capsys):
    Image.new("RGB", (28, 60)).save(files / "Tiny/HR/narrow.png")
    (files / "Tiny/HR/torn.png").write_bytes((files / "Tiny/HR/a.png").read_bytes()[:-20])
    rlfn = f"RLFN={files / 'weights/rlfn.pth'},num_feat=4"
    assert main(rlfn, *arguments, "--rounds", "0") == 1
    printed = capsys.readouterr()
    assert "RLFN: Tiny/narrow: ValueError: RLFN takes a batch" in printed.err
    assert "torn.png: the PNG is cut short" in printed.err
    with (files / "out/images.csv").open() as file:
        found = [(row["network"], row["image"]) for row in csv.DictReader(file)]
    assert ("RLFN", "b") in found
    assert ("PAN", "narrow") in found
    assert ("RLFN", "narrow") not in found
    assert "torn" not in [image for _, image in found]
    # A mean over some of the images is not shown.
    (line,) = [x for x in printed.out.splitlines() if x.startswith("| RLFN ") and "G |" in x]
    assert line.split("|")[-2].strip() == "–"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--images", "nowhere"], "nowhere is not a folder"),
        (["EDSRR"], "no network is called 'EDSRR'"),
        (["--scale", "3"], "is a network for x2, and the others are for x3; --scale chooses"),
        (["--engines", "ncnn"], "--engines selects from a preset"),
        (
            ["--preset", "engines", "--engines", "tensorrt"],
            "no engine is called 'tensorrt'; known are pytorch, onnxruntime",
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(
    files, arguments, capsys, changes, message
):
    options = changes if changes[0].startswith("-") else []
    names = [] if options else changes
    assert main(*names, *arguments, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (files / "out").exists()


def test_help_fits_a_screen(capsys):
    with pytest.raises(SystemExit, match="0"):
        main("--help")
    assert capsys.readouterr().out.count("\n") <= 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a NETWORK and --images, or a --preset"),
        (("PAN",), "give a NETWORK and --images, or a --preset"),
        (("--preset", "engines"), "the preset engines needs a NETWORK"),
        (("PAN", "--preset", "frontier", "--ntire"), "--ntire is a table of its own"),
        (("PAN", "--preset", "frontier", "--metric", "lpips"), "without the preset frontier"),
        (("PAN", "--images", "rocket", "--metric", "lpips"), "compares with HR images"),
        (("PAN", "--preset", "frontier"), "the preset frontier needs --images"),
        (("PAN", "--preset", "training"), "the preset training brings its own networks"),
        (("--preset", "training", "--images", "rocket"), "the preset training makes its own"),
    ],
)
def test_what_is_missing_is_said(tmp_path, capsys, arguments, message, monkeypatch):
    monkeypatch.setattr("smsr_plugin.compare.run.check_metrics", lambda names: None)
    assert main(*arguments, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("in_process")
def test_without_rounds_each_network_runs_once(files, arguments, monkeypatch):
    calls = []
    call = InProcess.call

    def counted(self, method, *given):
        calls.append((self.spec.name, method))
        return call(self, method, *given)

    monkeypatch.setattr(InProcess, "call", counted)
    runs = []
    forward = PAN.forward
    monkeypatch.setattr(PAN, "forward", lambda self, x: runs.append(x.device) or forward(self, x))
    assert main(*arguments, "--rounds", "0") == 0
    assert {method for _, method in calls} == {"import_library", "load", "prepare", "inspect"}
    assert sum(device.type == "cpu" for device in runs) == 2  # images; costs are counted on meta


@pytest.mark.usefixtures("in_process")
def test_metrics_are_taken_beside_psnr(files, arguments, monkeypatch, capsys):
    class Difference:
        def __init__(self, names):
            assert names == ["lpips"]

        def __call__(self, sr, gt):
            return {"lpips": float(np.abs(sr.astype(float) - gt).mean())}

    monkeypatch.setattr("smsr_plugin.compare.run.check_metrics", lambda names: None)
    monkeypatch.setattr("smsr_plugin.compare.run.PerceptualMetrics", Difference)
    asked = ("--rounds", 0, "--metric", "lpips", "--metric", "lpips")
    assert main(*arguments, *asked) == 0
    comparison = results(files / "out")
    for network in comparison.networks:
        for measurement in network.measurements:
            assert (measurement.perceptual is None) == (measurement.quality is None)
    bicubic = comparison.networks[0].measurements[0]
    case = load_case(images.list_cases([str(files / "Tiny/HR")])[0], 2)
    assert bicubic.perceptual == Difference(["lpips"])(upscale(to_image(case.lq), 2), case.gt)
    assert "Tiny LPIPS" in capsys.readouterr().out
    assert main(*arguments, "--rounds", 0) == 2
    assert "metrics" in capsys.readouterr().err


def test_metrics_without_their_weights_are_refused_before_anything_is_done(
    files, arguments, monkeypatch, capsys
):
    pytest.importorskip("torchmetrics")
    monkeypatch.setenv("TORCH_HOME", str(files / "nothing"))
    assert main(*arguments, "--metric", "dists") == 2
    error = capsys.readouterr().err
    assert error.startswith("smsr benchmark: error: dists needs torchvision's vgg16")
    assert error.count("\n") == 1
    assert not (files / "out").exists()


def test_damaged_weights_of_a_metric_are_one_line(files, arguments, monkeypatch, capsys):
    pytest.importorskip("torchmetrics")
    monkeypatch.setenv("TORCH_HOME", str(files / "torch"))
    weights = METRICS["lpips"].file()
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"not weights\n")
    assert main(*arguments, "--metric", "lpips") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"smsr benchmark: error: {weights}: cannot be read as weights")
    assert error.count("\n") == 1


@pytest.fixture
def noise(files):
    """Return an lq image of 24×18."""
    pixels = np.random.default_rng(0).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(files / "noise.png")
    return files / "noise.png"


def results(out):
    return Comparison.from_json((out / "results.json").read_text())


def preset(name, files, *arguments):
    out = ("--threads", 1, "--rounds", 2, "--out", files / "out")
    return main("--preset", name, *out, *arguments)


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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_results_that_are_none_are_refused(tmp_path, capsys):
    (tmp_path / "results.json").write_text("[]")
    assert main("--redraw", "--out", tmp_path) == 2
    assert "not the results of a comparison" in capsys.readouterr().err
    assert main("--redraw", "--out", tmp_path / "absent") == 2
