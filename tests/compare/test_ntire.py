"""The table of the NTIRE challenges: figures for 256×256, none of them those for 1280×720."""

from __future__ import annotations

import pytest

from smsr_plugin.compare import images
from smsr_plugin.compare.images import NTIRE_SET, load_case, ntire_cases
from smsr_plugin.compare.paper import ntire_latex, ntire_markdown
from smsr_plugin.compare.results import Comparison, Measurement, NetworkResult
from smsr_plugin.images.quality import Quality


@pytest.fixture
def comparison():
    net = NetworkResult(
        "A&B", "", "PAN", "PyTorch", "fp32", params=271_800, macs=9e9, activations=9e9
    )
    bicubic = NetworkResult("Bicubic", "", "Bicubic", "", "")
    for network, psnr in ((bicubic, 28.0), (net, 29.004)):
        quality = Quality(psnr_y=40.0, ssim_y=0.9, psnr_rgb=psnr, ssim_rgb=0.8)
        network.measurements = [Measurement(network.label, "Set_5", "a", (400, 400), quality)]
    for name, seconds, macs, peak in (
        ("x", [0.010, 0.011, 0.9], 15e9, 60.0),
        ("y", [0.02], 17e9, 70.04),
    ):
        measured = Measurement(
            "A&B", NTIRE_SET, name, (256, 256), seconds=seconds, macs=macs, activations=macs / 100,
            peak_mib=peak,
        )  # fmt: skip
        net.measurements.append(measured)
    net.measurements[0] = Measurement(**{**vars(net.measurements[0]), "peak_mib": 500.0})
    return Comparison("", [], 2, {"rounds": 3}, {}, 4, {NTIRE_SET: 2, "Set_5": 1}, [bicubic, net])


def test_figures(comparison):
    text = ntire_markdown(comparison)
    head = [cell.strip() for cell in text.splitlines()[0].split("|")[1:-1]]
    assert head[:3] == ["method", "PSNR Set_5", "runtime, ms"]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert found == [
        ["Bicubic", "28.00", *"–––––"],
        # The mean of 11 and 20 ms; the most memory on these images, not on larger ones.
        ["A&B", "29.00", "15.50", "0.272", "16.00", "160.00", "70.0"],
    ]


def test_latex_has_the_same(comparison):
    text = ntire_latex(comparison)
    assert r"A\&B & 29.00 & 15.50 & 0.272 & 16.00 & 160.00 & 70.0 \\" in text
    assert r"PSNR Set\_5" in text
    assert r"\begin{tabular}{lrrrrrr}" in text


def test_images_are_of_the_challenges_size():
    pytest.importorskip("sklearn")
    found = [load_case(image, 4) for image in ntire_cases()]
    assert [case.lq.shape for case in found] == [(1, 3, images.NTIRE_SIDE, images.NTIRE_SIDE)] * 3
    assert images.NTIRE_SIDE == 256
