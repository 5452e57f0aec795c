from __future__ import annotations

import re

import pytest
import torch
from checkpoint_files import released_form
from commands import convert as main
from masked_networks import tiny_masked_rlfn
from networks import split_channels, tiny_smsr

from smsr_plugin.archs import peaks
from smsr_plugin.checkpoints.masked_networks import load
from smsr_plugin.checkpoints.network import read
from smsr_plugin.sparsify.photographs import read_photographs


@pytest.fixture
def net():
    counts = [[[0, 1], [], [5]], [[], [], []]]
    return split_channels(tiny_smsr(img_range=255.0), counts).float()


@pytest.fixture
def released(net, tmp_path):
    path = tmp_path / "released.pt"
    torch.save(released_form(net), path)
    return path


def test_conversion_reports_and_keeps_the_function(net, released, tmp_path, capsys):
    out, params = tmp_path / "net.safetensors", sum(p.numel() for p in net.parameters())
    assert main([str(released), str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"read   {released}: released SMSR weights",
        "  upscale 2, num_feat 6, num_block 2, num_layer 3, num_in_ch 3",
        "  img_range 255, rgb_mean 0.4488, 0.4371, 0.404",
        f"  {params - 72:,} parameters and 72 channel mask logits",
        "  dense channels of 6 in each layer:",
        "    block 1:   2   0   1",
        "    block 2:   0   0   0",
        f"wrote  {out}: safetensors, values in 0…1",
    ]
    checkpoint = read(out)
    assert checkpoint.config.img_range == 1
    assert checkpoint.metadata["source"] == "released.pt"
    image = torch.rand(1, 3, 5, 7)
    with torch.no_grad():
        assert torch.allclose(load(out)(image), net(image), rtol=0, atol=1e-5)


def test_param_key_is_used(net, tmp_path, capsys):
    torch.save({"params": net.state_dict(), "other": net.state_dict()}, tmp_path / "net.pth")
    argv = [str(tmp_path / "net.pth"), str(tmp_path / "a.safetensors")]
    assert main([*argv, "--param-key", "other"]) == 0
    assert "SMSR state dict under 'other'" in capsys.readouterr().out
    assert main([*argv, "--param-key", "third", "--force"]) == 2


def test_existing_file_is_kept_unless_forced(released, tmp_path, capsys):
    out = tmp_path / "net.safetensors"
    out.write_text("precious")
    assert main([str(released), str(out)]) == 2
    assert capsys.readouterr().err == f"smsr convert: error: {out} exists; --force replaces it\n"
    assert out.read_text() == "precious"
    assert main([str(released), str(out), "--force"]) == 0
    assert main([str(out), str(out), "--force"]) == 0  # in place
    assert load(out).config.num_feat == 6


@pytest.mark.parametrize("name", ["net.pth", "net"])
def test_other_suffixes_are_refused(name, released, tmp_path, capsys):
    assert main([str(released), str(tmp_path / name)]) == 2
    assert "must end in .safetensors" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [released]


def test_errors_are_one_line_and_nothing_is_written(tmp_path, capsys):
    for content in (b"", b"hello", None):
        source = tmp_path / "in.pth"
        source.unlink(missing_ok=True)
        if content is not None:
            source.write_bytes(content)
        assert main([str(source), str(tmp_path / "out.safetensors")]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"smsr convert: error: {source}: ")
        assert printed.err.count("\n") == 1
        assert not (tmp_path / "out.safetensors").exists()


@pytest.fixture
def photographs(make_images, tmp_path):
    return make_images(tmp_path / "photos", {"a.png": (192, 200), "b.png": (210, 192)})


def test_peaks_are_chosen_by_photographs_and_kept(net, photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(peaks, "PIECES", 2)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    first, again = tmp_path / "first.safetensors", tmp_path / "again.safetensors"
    assert main([str(tmp_path / "net.pth"), str(first), "--calibrate", str(photographs)]) == 0
    assert re.search(r"^  features of up to \S+ to \S+ in 8 bits$", capsys.readouterr().out, re.M)
    pieces = read_photographs(photographs, 2, pieces=2).pieces
    found = load(first)
    expected = peaks.choose_peaks(found, pieces)
    assert torch.equal(found.feature_peaks, expected)
    others = found.state_dict().keys() - {"feature_peaks"}
    assert others == net.state_dict().keys()
    assert main([str(first), str(again), "--half"]) == 0
    assert torch.equal(load(again).feature_peaks, expected)


def test_peaks_are_for_smsrs_of_rgb_and_need_photographs(net, photographs, tmp_path, capsys):
    torch.save(tiny_masked_rlfn().state_dict(), tmp_path / "tiles.pth")
    torch.save(
        tiny_smsr(num_in_ch=1, num_out_ch=1, rgb_mean=(0.5,)).state_dict(), tmp_path / "grey.pth"
    )
    torch.save(net.state_dict(), tmp_path / "net.pth")
    out, none = tmp_path / "out.safetensors", tmp_path / "none"
    for name, folder, error in [
        (
            "tiles.pth",
            photographs,
            "--calibrate expects an SMSR of RGB images, because only its "
            "blocks run in 8 bits, got MaskedRLFN of 3 channels; leave it out",
        ),
        ("grey.pth", photographs, "got SMSR of 1 channels; leave it out"),
        ("net.pth", none, f"{none}"),
    ]:
        assert main([str(tmp_path / name), str(out), "--calibrate", str(folder)]) == 2
        printed = capsys.readouterr().err
        assert error in printed
        assert printed.count("\n") == 1
    assert not out.exists()


def test_help_fits_a_screen(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) <= 24


def test_wrong_arguments_exit_with_2():
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
