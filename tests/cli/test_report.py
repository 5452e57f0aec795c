from __future__ import annotations

import os

import numpy as np
import pytest
from networks import tiny_smsr
from PIL import Image

from smsr_plugin.checkpoints.masked_networks import save
from smsr_plugin.cli.main import main
from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.errors import ImageError


def smsr(*argv):
    return main(["report", *map(str, argv)])


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save(tiny_smsr(num_feat=16), path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Return a folder of two images with their ground truth in another, and of two bad ones."""
    (tmp_path / "lq").mkdir()
    (tmp_path / "gt").mkdir()
    for seed, name in enumerate(("a", "b")):
        hr = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(hr).save(tmp_path / "gt" / f"{name}.png")
        Image.fromarray(downscale(hr, 2)).save(tmp_path / "lq" / f"{name}x2.png")
    return tmp_path / "lq"


def test_a_folder_with_ground_truth(photos, weights, capsys):
    page = photos.parent / "page.html"
    argv = [photos, "--gt", photos.parent / "gt", "--weights", weights, "-o", page, "--runs", 1]
    assert smsr(*argv) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("<article") == 2
    assert "ax2.png" in text
    assert "the ground truth" in text
    assert capsys.readouterr().out == f"{page}: 2 of 2 images, {len(text.encode()) / 1e6:.1f} MB\n"


def test_an_existing_page_is_replaced_and_the_lq_image_made_from_the_ground_truth(
    photos, weights, monkeypatch
):
    monkeypatch.chdir(photos)
    (photos / "report.html").write_text("old")
    gt = photos.parent / "gt" / "a.png"
    assert smsr(gt, "--from-gt", "--weights", weights, "--runs", 1, "--threshold", 0.5) == 0
    text = (photos / "report.html").read_text(encoding="utf-8")
    assert text.count("<article") == 1
    assert "16×12" in text
    assert "threshold 0.5" in text
    assert sorted(path.name for path in photos.iterdir()) == ["ax2.png", "bx2.png", "report.html"]


def test_bad_images_are_named_and_the_others_go_on(photos, weights, tmp_path, capsys):
    (photos / "cut.png").write_bytes((photos / "ax2.png").read_bytes()[:200])
    (photos / "empty.png").touch()
    page = tmp_path / "page.html"
    assert smsr(photos, "--weights", weights, "-o", page, "--runs", 1) == 1
    assert page.read_text(encoding="utf-8").count("<article") == 2
    printed = capsys.readouterr()
    assert [line.split(": ")[2] for line in printed.err.splitlines()] == [
        str(photos / "cut.png"),
        str(photos / "empty.png"),
    ]
    assert "2 of 4 images" in printed.out


def test_an_image_of_which_the_network_makes_no_numbers_is_named(
    photos, weights, tmp_path, monkeypatch, capsys
):
    def not_a_number(*_, **__):
        raise ImageError("the network makes NaN or infinity of it")

    monkeypatch.setattr("smsr_plugin.report.measurements.measure", not_a_number)
    page = tmp_path / "page.html"
    assert smsr(photos / "ax2.png", "--weights", weights, "-o", page) == 1
    said = f"smsr report: error: {photos / 'ax2.png'}: the network makes NaN or infinity of it"
    assert said in capsys.readouterr().err.splitlines()
    assert not page.exists()


def test_without_a_good_image_there_is_no_page(tmp_path, weights, capsys):
    (tmp_path / "bad.png").write_text("no image")
    page = tmp_path / "page.html"
    assert smsr(tmp_path / "bad.png", "--weights", weights, "-o", page) == 1
    assert not page.exists()
    assert "no page was written" in capsys.readouterr().err


def test_the_middle_of_a_large_image_is_shown(photos, weights, tmp_path):
    page = tmp_path / "page.html"
    argv = [photos / "ax2.png", "--weights", weights, "-o", page, "--runs", 1]
    assert smsr(*argv, "--crop", 48) == 0
    text = page.read_text(encoding="utf-8")
    assert "<dd>8×6</dd>" in text
    assert "the middle of 16×12" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"INPUT": "none.png"}, "none.png: there is no such file or folder"),
        ({"--weights": "none.pt"}, "none.pt: cannot be read"),
        ({"-o": "page.png"}, "page.png: the page must end in .html or .htm"),
        ({"-o": "none/page.html"}, "none: there is no such folder"),
        ({"--threshold": "nan"}, "the threshold must be a number, got nan"),
        ({"--gt": "none"}, "none: there is no such file or folder"),
        ({"--precision": "int8"}, 'precision="int8" cannot be used: '),
    ],
)
def test_what_cannot_be_done_is_one_line(change, message, photos, weights, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    options = {"INPUT": "ax2.png", "--weights": weights, **change}
    argv = [options.pop("INPUT"), *(word for pair in options.items() for word in pair)]
    assert smsr(*argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("smsr report: error: ")
    assert sorted(path.name for path in photos.iterdir()) == ["ax2.png", "bx2.png"]


def test_a_network_for_grey_images_is_refused(photos, tmp_path, capsys):
    net = tiny_smsr(num_in_ch=1, num_out_ch=1, rgb_mean=(0.5,))
    save(net, tmp_path / "grey.safetensors")
    assert smsr(photos, "--weights", tmp_path / "grey.safetensors", "-o", tmp_path / "a.html") == 2
    assert "needs a network for RGB images, got one of 1 channels" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["a.png", "--density", "1.5"],
        ["a.png", "--weights", "w.pt", "--gt", "b.png", "--from-gt"],
        ["a.png", "--weights", "w.pt", "--runs", "0"],
        ["a.png", "--weights", "w.pt", "--model", "smsr"],
        ["a.png", "--weights", "w.pt", "--precision", "fp8"],
    ],
)
def test_wrong_usage_exits_with_2(argv):
    with pytest.raises(SystemExit) as caught:
        smsr(*argv)
    assert caught.value.code == 2


def test_what_is_finished_is_kept_when_it_is_cut_off(
    photos, weights, tmp_path, monkeypatch, capsys
):
    from smsr_plugin.report import measurements

    measure, done = measurements.measure, []

    def stop_at_the_second(*args, **options):
        if done:
            raise KeyboardInterrupt
        done.append(True)
        return measure(*args, **options)

    monkeypatch.setattr(measurements, "measure", stop_at_the_second)
    page = tmp_path / "page.html"
    assert smsr(photos, "--weights", weights, "-o", page, "--runs", 1) == 130
    assert page.read_text(encoding="utf-8").count("<article") == 1
    said = f"smsr report: interrupted; {page} has 1 of 2 images\n"
    assert capsys.readouterr().err == said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.parametrize("option", ["INPUT", "--gt", "--weights"])
def test_a_pipe_is_one_line(option, photos, weights, tmp_path, capsys):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    given = {"INPUT": photos / "ax2.png", "--weights": weights, option: pipe}
    argv = [given.pop("INPUT"), *(word for pair in given.items() for word in pair)]
    assert smsr(*argv, "-o", tmp_path / "page.html", "--runs", 1) in (1, 2)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith(f"smsr report: error: {pipe}: ")
    assert "Errno" not in first
    assert rest in ([], ["smsr report: error: no image could be used, no page was written"])


def test_a_model_of_the_package_is_taken_by_name_and_the_variable_heeded(
    photos, weights, tmp_path, monkeypatch
):
    page = tmp_path / "page.html"
    argv = [photos / "ax2.png", "-o", page, "--runs", 1]
    assert smsr(*argv, "--model", "rlfn-s") == 0
    text = page.read_text(encoding="utf-8")
    assert "MaskedRLFN report" in text
    assert "weights rlfn-s_x2.safetensors" in text
    assert "Channel masks" not in text
    monkeypatch.setenv("SMSR_WEIGHTS", str(weights))
    assert smsr(*argv) == 0
    assert f"weights {weights.name}" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("when", ["measure", "write"])
def test_an_interruption_leaves_nothing_behind(when, photos, weights, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    target = "smsr_plugin.report.measurements.measure"
    monkeypatch.setattr(target if when == "measure" else "pathlib.Path.replace", stop)
    page = photos / "page.html"
    page.write_text("old")
    assert smsr(photos / "ax2.png", "--weights", weights, "-o", page, "--runs", 1) == 130
    assert "smsr report: interrupted" in capsys.readouterr().err
    assert page.read_text() == "old"
    assert sorted(path.name for path in photos.iterdir()) == ["ax2.png", "bx2.png", "page.html"]


def test_the_page_of_a_training(tmp_path, capsys):
    folder, page = tmp_path / "tiny", tmp_path / "page.html"
    folder.mkdir()
    assert smsr("--training", folder, "-o", page) == 2
    assert "holds no log" in capsys.readouterr().err
    line = (
        "INFO: [tiny..][epoch:  0, iter:   1,000, lr:(1.000e-03,)] "
        "[eta: 0:00:10, time (data): 0.500 (0.005)] l_pix: 2.0000e-02 \n"
    )
    (folder / "train_tiny_1.log").write_text(f"  total_iter: 2000\n{line}")
    assert smsr("--training", folder, "-o", page) == 0
    text = page.read_text(encoding="utf-8")
    assert capsys.readouterr().out == (
        f"{page}: 1,000 of 2,000 iterations, {len(text.encode()) / 1e6:.1f} MB\n"
    )
    assert "Losses as they were written" in text


@pytest.mark.parametrize("argv", [[], ["a.png", "--training", "b"]])
def test_either_images_or_a_training(argv, capsys):
    assert smsr(*argv) == 2
    assert capsys.readouterr().err == "smsr report: error: give an INPUT, or --training DIR\n"
