"""What `smsr upscale` says of arguments and names that it cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from image_files import eight, save

from smsr_plugin.cli.main import main
from smsr_plugin.upscaling.network import Network

pytestmark = pytest.mark.usefixtures("net")


def test_names_cannot_forge_lines_or_reach_the_terminal(tmp_path, capsys):
    strange = "\x1b[31mred\nsmsr upscale: error: forged"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"{strange}.png").write_text("junk")
    save(tmp_path / "in" / f"good {strange}.png", eight(8, 10))
    (tmp_path / "in" / f"{strange}.heic").touch()
    assert main(["upscale", "in", "-o", "out"]) == 1
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(
        r"smsr upscale: error: in/\x1b[31mred\nsmsr upscale: error: forged.png: is"
    )
    assert lines[1].startswith("smsr upscale: note: left out, of kinds that are not read: in/")
    assert len(captured.out.splitlines()) == 3
    assert main(["upscale", f"in/{strange}", "-o", "out"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["a" * 300 + ".png"], ["loop.png"], ["loop.png/a.png"]])
def test_names_that_lead_nowhere_are_one_line(tmp_path, capsys, arguments):
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert main(["upscale", *arguments, "-o", "out"]) in (1, 2)
    captured = capsys.readouterr()
    assert captured.err.startswith("smsr upscale: error: ")
    assert captured.err.count("\n") == 1


def test_a_folder_that_may_not_be_entered_is_one_line(monkeypatch, capsys):
    def closed(self, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", closed)
    assert main(["upscale", "closed/a.png", "-o", "out"]) == 2
    error = "smsr upscale: error: closed/a.png: Permission denied\n"
    assert capsys.readouterr().err == error


def test_the_limit_on_pixels_can_be_set(tmp_path, capsys):
    save(tmp_path / "a.png", eight(9, 12))
    assert main(["upscale", "a.png", "-o", "out", "--max-pixels", "107"]) == 1
    assert "has 108 pixels, above the limit of 107" in capsys.readouterr().err
    assert main(["upscale", "a.png", "-o", "out", "--max-pixels", "108"]) == 0


def test_a_result_that_the_format_cannot_hold_fails_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Network, "__call__", None)
    save(tmp_path / "a.webp", eight(2, 20))
    assert main(["upscale", "a.webp", "-o", "out", "--outscale", "1000"]) == 1
    assert "would be 20000×2000, and .webp holds sides up to 16383" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.png"], "error: none.png does not exist"),
        (["in", "-o", "in"], "would replace the input in/a.png"),
        (["in", "--tile", "20"], "tiles of 20 cannot overlap by 32: they must be at least 68"),
        (["in", "--dense", "--precision", "bf16"], "computes in fp32, not in bf16"),
        (["in", "--weights", "none.pth"], "none.pth: cannot be read"),
        (["in", "--weights", "other.pth"], "is given with its name: EDSR=other.pth"),
        (["in", "--weights", "in/a.png"], "is neither a PyTorch nor a safetensors file"),
    ],
)
def test_wrong_usage_is_one_line_and_touches_nothing(tmp_path, capsys, arguments, message):
    save(tmp_path / "in" / "a.png", eight(9, 12))
    torch.save({"conv_after_body.weight": torch.zeros(1)}, "other.pth")
    out = [] if "-o" in arguments else ["-o", "out"]
    assert main(["upscale", *arguments, *out]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option", [["--outscale", "0"], ["--outscale", "nan"], ["--quality", "101"], ["--tile", "-1"],
               ["--ext", "gif"], ["--threads", "0"], ["--threshold", "inf"],
               ["--outscale", "1e308"], ["--threads", "100000"]]
)  # fmt: skip
def test_numbers_out_of_range_are_wrong_usage(option):
    with pytest.raises(SystemExit, match="2"):
        main(["upscale", "a.png", "-o", "out", *option])


def test_a_name_that_is_empty_is_not_the_current_folder(tmp_path, monkeypatch, capsys):
    save(tmp_path / "a.png", eight(9, 12))
    monkeypatch.chdir(tmp_path)
    for argv in (["", "-o", "out"], ["a.png", "-o", ""], ["a.png", "-o", "out", "--masks", ""]):
        with pytest.raises(SystemExit, match="2"):
            main(["upscale", *argv])
        assert "expected a name, got ''" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "net.safetensors"]
