"""From the command line to the files, with small random networks.

One test runs them in processes of their own, as users do; the others save the starts.
"""

from __future__ import annotations

import csv
import errno
import json
import os

import numpy as np
import pytest
import torch
from benchmarks import PAN_OPTIONS, InProcess, main, results
from networks import tiny_smsr
from PIL import Image
from smsr_cost import SMSRCost, dense_channels

from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.compare import images
from smsr_plugin.compare.images import ImageSource, load_case
from smsr_plugin.compare.run import Run
from smsr_plugin.complexity.counter import profile
from smsr_plugin.images.bicubic import upscale
from smsr_plugin.images.pixels import to_image
from smsr_plugin.images.quality import compare


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
