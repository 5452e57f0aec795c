"""From the command line to the files, with small random networks.

One test runs them in processes of their own, as users do; the others save the starts.
"""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from networks import tiny_smsr
from PIL import Image

import smsr_plugin
from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.cli import main as roof
from smsr_plugin.compare.engines.process import EngineError
from smsr_plugin.compare.engines.worker import Worker
from smsr_plugin.compare.run import Run
from smsr_plugin.compare.sets import HRImage, load_pair
from smsr_plugin.complexity import SMSRCost, dense_channels
from smsr_plugin.images.bicubic import upscale
from smsr_plugin.images.quality import compare, to_image


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
        pair = load_pair(HRImage("Tiny", name, files / f"Tiny/HR/{name}.png"), 2)
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
    printed = capsys.readouterr().out
    assert "| SMSR sparse |" in printed
    assert "peak MiB" in printed
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
