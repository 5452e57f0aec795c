"""`smsr upscale` on folders of good and bad files, as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from image_files import claiming_png, eight, noise, png_of_sixteen_bits, save, smooth, srgb_profile
from networks import tiny_smsr
from PIL import Image
from PIL.ExifTags import Base

from smsr_plugin.archs.density import density_curve
from smsr_plugin.checkpoints.masked_networks import save as save_checkpoint
from smsr_plugin.cli.main import main, make_parser
from smsr_plugin.images.mask_overlay import mask_overlay
from smsr_plugin.images.writing import QUALITY
from smsr_plugin.upscaling.inputs import EXTENSIONS, Naming
from smsr_plugin.upscaling.tiles import OVERLAP

pytestmark = pytest.mark.usefixtures("net")


def fill(folder):
    """Fill a folder with the kinds of files that people have."""
    save(folder / "rgba.png", eight(20, 30, 4), icc_profile=srgb_profile())
    save(folder / "grey.jpg", eight(21, 31, 1), quality=95)
    indexed = Image.fromarray(eight(22, 32)).quantize(16)
    indexed.save(folder / "palette.gif")
    indexed.save(folder / "palette_too.png")
    deep = np.rint(smooth(23, 33) * 65535).astype(np.uint16)
    (folder / "deep.png").write_bytes(png_of_sixteen_bits(deep))
    save(folder / "one.png", noise(1, 1, 3))
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    save(folder / "turned.jpg", eight(10, 20), exif=exif)
    content = (folder / "rgba.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) // 2])
    (folder / "empty.png").touch()
    (folder / "bomb.png").write_bytes(claiming_png(50000, 50000))


def test_good_files_are_enlarged_and_bad_ones_named(tmp_path, net, capsys):
    fill(tmp_path / "in")
    assert main(["upscale", "in", "-o", "out"]) == 1
    printed = capsys.readouterr()
    kinds = {}
    for path in sorted((tmp_path / "out").iterdir()):
        with Image.open(path) as image:
            kinds[path.name] = (image.mode, image.size)
    assert kinds == {
        "deep.png": ("RGB", (66, 46)),
        "grey.jpg": ("L", (62, 42)),
        "one.png": ("RGB", (2, 2)),
        "palette.png": ("RGB", (64, 44)),
        "palette_too.png": ("RGB", (64, 44)),
        "rgba.png": ("RGBA", (60, 40)),
        "turned.jpg": ("RGB", (20, 40)),
    }
    deep = cv2.imread("out/deep.png", cv2.IMREAD_UNCHANGED)
    assert deep is not None
    assert deep.dtype == np.uint16
    with torch.no_grad():
        x = torch.from_numpy(np.rint(smooth(23, 33) * 65535) / 65535).permute(2, 0, 1)[None]
        expected = net(x.float())[0].permute(1, 2, 0).clamp(0, 1).numpy() * 65535
    assert np.abs(deep[..., ::-1] - expected).max() < 2
    with Image.open("out/rgba.png") as image:
        assert image.info["icc_profile"] == srgb_profile()
        assert len(np.unique(np.asarray(image)[..., 3])) > 100
    assert printed.err.splitlines() == [
        "smsr upscale: error: in/bomb.png: has 2,500,000,000 pixels, above the limit of "
        "89,478,485; unless it is a decompression bomb, raise --max-pixels or SMSR_MAX_PIXELS",
        "smsr upscale: error: in/cut.png: the PNG is cut short",
        "smsr upscale: error: in/empty.png: the file is empty",
        "smsr upscale: note: in/palette.gif: palette, becomes RGB",
        "smsr upscale: note: in/palette_too.png: palette, becomes RGB",
    ]
    lines = printed.out.splitlines()
    assert lines[0].startswith("in/deep.png → out/deep.png  33×23 → 66×46, density 0.")
    assert re.fullmatch(r"7 done, 3 failed in \d+\.\d s", lines[-2])
    assert lines[-1] == "failed: in/bomb.png, in/cut.png, in/empty.png"


def test_the_defaults_that_help_tells_are_the_librarys():
    args = make_parser().parse_args(["upscale", "a.png", "-o", "out"])
    assert (args.quality, args.tile_overlap, args.ext) == (QUALITY, OVERLAP, Naming(Path()).ext)
    assert Image.MAX_IMAGE_PIXELS // 10**6 == 89
    for ext in EXTENSIONS:
        make_parser().parse_args(["upscale", "a.png", "-o", "out", "--ext", ext])
    for other, ext in (("jpeg", "jpg"), ("tif", "tiff"), (".PNG", "png")):
        args = make_parser().parse_args(["upscale", "a.png", "-o", "out", "--ext", other])
        assert args.ext == ext


def test_a_single_file_to_a_single_file(tmp_path, net):
    pixels = eight(9, 12)
    save(tmp_path / "a.png", pixels)
    assert main(["upscale", "a.png", "-o", "new/b.png", "--threads", "1"]) == 0
    with torch.no_grad():
        sr = net(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    with Image.open("new/b.png") as image:
        assert np.abs(np.asarray(image) - sr.clamp(0, 1).numpy() * 255).max() <= 0.51


def test_options_reach_the_work(tmp_path, net, capsys):
    save(tmp_path / "in" / "a.png", eight(40, 90))
    save(tmp_path / "in" / "deep" / "b.png", eight(10, 12))
    command = ["upscale", "in", "-o", "out", "--recursive", "--suffix", "_big", "--ext", "webp"]
    options = [
        "--outscale",
        "1.5",
        "--threshold",
        "-1000",
        "--precision",
        "bf16",
        "--quality",
        "50",
    ]
    tiles = ["--tile", "48", "--tile-overlap", "8", "--masks", "masks", "--json"]
    assert main([*command, *options, *tiles]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [report[key] for key in ("done", "skipped", "failed", "left")] == [2, 0, 0, 0]
    first, second = report["images"]
    assert first["source"] == "in/a.png"
    assert first["target"] == "out/a_big.webp"
    assert first["masks"] == "masks/a_big_masks.png"
    assert (first["lq_size"], first["size"]) == ([90, 40], [135, 60])
    assert (first["tiles"], second["tiles"]) == (3, 1)
    assert first["density"] == 1
    assert second["kept"] == pytest.approx(1)
    assert first["kept"] > 1  # overlaps are computed twice
    assert first["state"] == "done"
    assert second["target"] == "out/deep/b_big.webp"
    with Image.open("masks/deep/b_big_masks.png") as image:
        everything = mask_overlay(eight(10, 12), np.ones((2, 10, 12), bool))
        assert (np.asarray(image) == everything).all()


def test_the_oracle_agrees(tmp_path):
    save(tmp_path / "a.png", eight(19, 25))
    for name, option in (("sparse.png", []), ("dense.png", ["--dense"])):
        assert main(["upscale", "a.png", "-o", name, *option]) == 0
    sparse, dense = (np.asarray(Image.open(n)).astype(int) for n in ("sparse.png", "dense.png"))
    assert np.abs(sparse - dense).max() <= 1


def test_tiles_for_want_of_memory_are_noted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("smsr_plugin.upscaling.network.available_bytes", lambda: 900_000)
    save(tmp_path / "a.png", eight(8, 200))
    assert main(["upscale", "a.png", "-o", "out"]) == 0
    noted = "note: a.png: cut into 2 smaller tiles for want of memory, which changes the result"
    assert noted in capsys.readouterr().err


def test_without_weights_the_packages_network_is_taken(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("SMSR_WEIGHTS")
    packaged = tmp_path / "packaged"
    packaged.mkdir()
    monkeypatch.setattr("smsr_plugin.checkpoints.shipped.FOLDER", packaged)
    save(tmp_path / "a.png", eight(12, 10))
    assert main(["upscale", "a.png", "-o", "out"]) == 2
    assert "name a file, or set SMSR_WEIGHTS" in capsys.readouterr().err
    for scale in (2, 3):
        save_checkpoint(tiny_smsr(upscale=scale).float(), packaged / f"smsr_x{scale}.safetensors")
    for arguments, height in (((), 24), (("--scale", "3"), 36), (("--outscale", "2.5"), 30)):
        assert main(["upscale", "a.png", "-o", "out.png", *arguments]) == 0
        assert cv2.imread("out.png").shape[0] == height
    assert main(["upscale", "a.png", "-o", "out.png", "--scale", "4"]) == 2
    assert "scale must be one of 2, 3" in capsys.readouterr().err


def test_a_density_is_asked_for(net, tmp_path, capsys):
    save(tmp_path / "a.png", eight(30, 20))
    assert main(["upscale", "a.png", "-o", "out.png", "--density", "0.3"]) == 2
    assert "takes a threshold" in capsys.readouterr().err
    x = torch.from_numpy(eight(30, 20)).permute(2, 0, 1)[None] / 255
    net.density_curve = density_curve(net(x, return_masks=True).logits.detach())
    save_checkpoint(net, tmp_path / "net.safetensors")
    kept = []
    for density in ("0.2", "0.8", "1"):
        assert main(["upscale", "a.png", "-o", "out.png", "--density", density, "--json"]) == 0
        kept.append(json.loads(capsys.readouterr().out)["images"][0]["density"])
    assert kept[0] < 0.45 < kept[1] < kept[2] == 1
    with pytest.raises(SystemExit):
        main(["upscale", "a.png", "-o", "out.png", "--density", "1.2"])
    assert "expected a share from 0 to 1, got '1.2'" in capsys.readouterr().err


@pytest.mark.reference
def test_set5_has_the_quality_that_is_published(test_data, tmp_path, capsys):
    weights = test_data / "weights" / "smsr_x2_official.pt"
    folder = test_data / "data" / "Set5"
    command = ["upscale", str(folder / "LR_bicubic" / "X2"), "-o", "out", "--json"]
    assert main([*command, "--weights", str(weights)]) == 0
    psnr = []
    for image in json.loads(capsys.readouterr().out)["images"]:
        name = re.sub(r"x2(?=\.png$)", "", image["target"].removeprefix("out/"))
        hr, sr = (
            np.asarray(Image.open(p)) @ [65.481, 128.553, 24.966] / 255 + 16
            for p in (folder / "HR" / name, image["target"])
        )
        hr = hr[: sr.shape[0], : sr.shape[1]]
        error = np.mean((hr - sr)[2:-2, 2:-2] ** 2)
        psnr.append(10 * np.log10(255**2 / error))
    assert np.mean(psnr) == pytest.approx(37.991, abs=0.005)
