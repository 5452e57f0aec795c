from __future__ import annotations

import json
import re
import warnings

import numpy as np
import pytest
import torch
from commands import flops as main
from networks import split_channels, stats_of, tiny_smsr
from PIL import Image
from smsr_cost import SMSRCost, dense_channels

from smsr_plugin.checkpoints.masked_networks import save
from smsr_plugin.cli.flops import Row, table
from smsr_plugin.complexity.counter import profile
from smsr_plugin.training.registration import build_architecture


@pytest.fixture
def net():
    return split_channels(tiny_smsr(), [[[0, 1], [], [5]], [[], [], []]]).float()


@pytest.fixture
def weights(net, tmp_path):
    save(net, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def values(printed: str) -> dict[str, float]:
    """Return label → number of a printed table."""
    lines = (re.match(r"(.+?) +([\d.]+) [KG]\b", line) for line in printed.splitlines())
    return {match[1].strip(): float(match[2]) for match in lines if match}


def test_smsr_without_weights(capsys):
    assert main(["SMSR", "--density", "0.51", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("SMSR x2, output 1280×720, lq 640×360\n")
    assert "Without --weights" in printed
    assert values(printed) == {
        "parameters": 984.75,
        "channel mask logits": 2.56,
        "multiply-adds": 223.80,
        "head": 8.89,
        "mask predictors": 11.36,
        "collect": 13.21,
        "tail": 1.59,
        "masked, every pixel": 0,
        "masked, important pixels": 188.74,
        "at density 0.51": 131.32,
        "at density 1": 223.80,
    }


def test_smsr_with_weights_and_an_image(net, weights, tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "lq.png")
    argv = ["--weights", str(weights), "--size", "100000", "60000", "--density", "0.25"]
    assert main(["SMSR", *argv, "--image", str(tmp_path / "lq.png")]) == 0
    printed = capsys.readouterr().out
    table_values = values(printed)
    cost, lq_pixels = SMSRCost(net.config, dense_channels(net)), 50_000 * 30_000
    assert cost.smm_dense[0] > 0
    assert table_values["masked, every pixel"] == pytest.approx(
        sum(cost.smm_dense) * lq_pixels / 1e9, abs=0.005
    )
    assert table_values["at density 0.25"] == pytest.approx(
        cost.macs([0.25] * 2, lq_pixels) / 1e9, abs=0.005
    )
    result = stats_of(net, torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)
    assert (
        f"lq.png, lq 40×30 {result.macs[0] / 1e9:15.2f} G {result.kept:.1%}".split()
        == (printed.splitlines()[-1].split()[:6])
    )
    densities = [float(text) for text in printed.splitlines()[-1].split("blocks ")[1].split()]
    assert densities == pytest.approx(result.spa_density[0].tolist(), abs=5e-4)
    assert "Without --weights" not in printed


def test_other_networks_and_options(capsys):
    assert main(["EDSR", "--upscale", "4", "--set", "num_block=1", "num_feat=8"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == "EDSR x4, output 1280×720, lq 320×180"
    assert list(values(printed)) == ["parameters", "multiply-adds"]
    assert main(["SMSR", "--set", "num_block=1", "--set", "num_feat=8"]) == 0
    assert values(capsys.readouterr().out)["parameters"] < 10


def test_the_size_of_the_lq_image_and_json(capsys):
    assert main(["RLFN-S", "--upscale", "4", "--lq-size", "256", "256", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["network"], found["upscale"]) == ("RLFN-S", 4)
    assert (found["size"], found["lq_size"]) == ([1024, 1024], [256, 256])
    net = build_architecture("RLFN-S", {}, 4).net
    counted = profile(net, (256, 256))
    assert found["figures"] == {"parameters": counted.params, "multiply-adds": counted.macs}


def test_option_file(tmp_path, capsys):
    path = tmp_path / "test.yml"
    path.write_text("scale: 3\nnetwork_g:\n  type: SMSR\n  num_feat: 8\n")
    assert main(["--opt", str(path), "--size", "30", "33"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("SMSR x3, output 30×33, lq 10×11\n")
    size = values(printed)["parameters"]
    complexity = profile(tiny_smsr(num_feat=8, num_layer=4, num_block=5, upscale=3), (2, 2))
    assert size == round((complexity.params - complexity.mask_params) / 1e3, 2)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["EDSR", "--density", "0.5"],
            "--density and --image are for networks with masks, not for EDSR",
        ),
        (["SMSR", "--image", "lq.png"], "--image needs --weights"),
        (["SMSR", "--density", "1.5"], "spatial densities in 0…1"),
        (["SMSR", "--set", "num_feat"], "expected KEY=VALUE"),
        (["SMSR", "--set", "num_feat=[1"], "--set num_feat=[1"),
        (["SMSRR"], "did you mean SMSR?"),
        (["--opt", "none.yml"], "cannot read the option file none.yml"),
        (["--weights", "none.pth"], "none.pth: cannot be read"),
        (["--weights", "WEIGHTS", "--upscale", "3"], "is for x2, not x3"),
        (["--weights", "WEIGHTS", "--image", "none.png"], "none.png"),
        (
            ["--weights", "WEIGHTS", "--image", "WEIGHTS"],
            "is damaged or not an image of a known kind",
        ),
        ([], "give one of these: the name of a network"),
        (["SMSR", "--opt", "a.yml"], "give one of these: the name of a network, --opt"),
        (
            ["EDSR", "--weights", "a.pth"],
            "--weights says the network: leave out --opt, --set, other names",
        ),
        (["--weights", "a.pth", "--set", "num_feat=3"], "leave out --opt, --set, other names"),
        (["--opt", "a.yml", "--upscale", "2"], "leave --upscale out"),
    ],
)
def test_errors_are_one_line(argv, message, weights, capsys):
    argv = [str(weights) if word == "WEIGHTS" else word for word in argv]
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_every_registered_network_is_counted_or_said_in_one_line_why_not(capfd):
    import smsr_plugin.training  # noqa: F401  it registers the package's, and BasicSR needs it

    from basicsr.utils.registry import ARCH_REGISTRY  # isort: skip

    codes = {}
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as outside of tests
        for name, _ in ARCH_REGISTRY:
            codes[name] = main([name, "--size", "128", "128"])
            printed = capfd.readouterr().err
            lines = [line for line in printed.splitlines() if "smsr flops: error: " in line]
            assert (len(printed.splitlines()), len(lines)) == (codes[name] // 2,) * 2, printed
    assert set(codes.values()) == {0, 2}
    assert {codes[name] for name in ("EDSR", "MSRResNet", "SMSR", "RLFN")} == {0}


def test_option_file_without_a_network(tmp_path, capsys):
    path = tmp_path / "test.yml"
    path.write_text("scale: 3\n")
    assert main(["--opt", str(path)]) == 2
    assert "expected a section network_g with a type" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["SMSR", "--upscale", "0"], "expected a whole number from 1, got '0'"),
        (["SMSR", "--density", "x"], "expected a number, got 'x'"),
        (["SMSR", "--size", "12"], "expected 2 arguments"),
    ],
)
def test_wrong_numbers_are_wrong_usage(argv, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_table_is_aligned():
    rows = [Row("a", 1, "K"), Row("longer", 123456.789, "G", "note")]
    assert table(rows) == "a            1.00 K\nlonger  123456.79 G note"
