from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts/compare_oracle.py"
PUBLISHED = "dataset,image,psnr_y,ssim_y\nA,x,30.0,0.90\nA,y,31.0,0.91\nB,z,32.0,0.92\nB,w,1,0\n"
OURS = (
    "network,dataset,image,psnr_y,ssim_y\nPAN,A,x,30.0005,0.90\nPAN,A,y,30.9,0.91005\n"
    "Bicubic,A,x,28,0.8\nCARN,A,x,,\nPAN,B,z,32.0,0.9205\n"
)


def _load():
    spec = importlib.util.spec_from_file_location("compare_oracle", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["compare_oracle"] = module
    spec.loader.exec_module(module)
    return module


oracle = _load()
agreements, read_rows = oracle.agreements, oracle.read_rows


@pytest.fixture
def files(tmp_path):
    (tmp_path / "published.csv").write_text(PUBLISHED)
    (tmp_path / "ours.csv").write_text(OURS)
    return str(tmp_path / "ours.csv"), str(tmp_path / "published.csv")


@pytest.fixture
def script(monkeypatch):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["compare_oracle.py", *arguments])
        return oracle.main()

    return run


def test_differences_are_counted_set_by_set(files):
    ours, published = read_rows(Path(files[0]), "PAN"), read_rows(Path(files[1]))
    a, b = agreements(ours, published, psnr=1e-3, ssim=1e-4)
    assert (a.set_name, a.images, a.psnr_within, a.ssim_within) == ("A", 2, 1, 2)
    assert (a.psnr_largest, a.psnr_mean) == pytest.approx((0.1, (0.0005 - 0.1) / 2))
    assert a.ssim_largest == pytest.approx(5e-5)
    assert (b.set_name, b.images, b.psnr_within, b.ssim_within) == ("B", 1, 1, 0)


def test_the_script_fails_where_an_image_is_out_of_tolerance(files, script, capsys):
    assert script(*files, "--network", "PAN") == 1
    assert "| 1 of 2 |" in " ".join(capsys.readouterr().out.split())
    assert script(*files, "--network", "PAN", "--psnr", "0.2", "--ssim", "0.001") == 0
    assert script(*files, "--network", "PAN", "--sets", "A", "--psnr", "0.2") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "ours.csv: A/x occurs twice; choose a network"),
        (["--network", "CARN"], "ours.csv: expected figures in columns dataset, image"),
        (["--network", "EDSR"], "no images to compare"),
        (["--network", "PAN", "--sets", "C"], "no images to compare"),
    ],
)
def test_what_cannot_be_compared_is_told(files, script, capsys, arguments, message):
    assert script(*files, *arguments) == 2
    assert message in capsys.readouterr().err


def test_images_must_be_published(files):
    ours = {("A", "q"): {"psnr_y": 1.0, "ssim_y": 1.0}}
    with pytest.raises(ValueError, match=r"not published: A/q \(1 images\)"):
        agreements(ours, read_rows(Path(files[1])), 1, 1)
