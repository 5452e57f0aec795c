"""LPIPS and DISTS: the networks of the metrics drawn at random, values by the papers' formulas."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

pytest.importorskip("torchmetrics")

from torchmetrics.functional.image import dists as torchmetrics_dists
from torchmetrics.functional.image import lpips as torchmetrics_lpips
from torchvision import models

from smsr_plugin.compare import perceptual
from smsr_plugin.compare.markdown import markdown, printed
from smsr_plugin.compare.outputs import image_rows, network_rows
from smsr_plugin.compare.perceptual import METRICS, PerceptualMetrics, check_metrics
from smsr_plugin.compare.results import Comparison, Measurement, NetworkResult
from smsr_plugin.images.quality import Quality

IMAGENET = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torch")


@pytest.fixture(scope="module")
def drawn(folder):
    """Draw the features of the metrics' networks, keep them in `folder`; return them by name."""
    found = {}
    (folder / "hub/checkpoints").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        for name, backbone in METRICS.items():
            with torch.device("meta"):  # of the classifier, which is not used, nothing is drawn
                features = getattr(models, backbone.function)(weights=None).features
            torch.manual_seed(len(found))
            found[name] = features.to_empty(device="cpu")
            for weights in found[name].parameters():
                spread = (2 / weights[0].numel()) ** 0.5 if weights.ndim > 1 else 0.1
                weights.data.normal_(0, spread)
            named = {f"features.{k}": v for k, v in features.state_dict().items()}
            torch.save(named, backbone.file())
    return found


@pytest.fixture
def backbones(drawn, folder, monkeypatch):
    """Let torchvision find these networks where it keeps its own; return them."""
    monkeypatch.setenv("TORCH_HOME", str(folder))

    def without_classifier(name):
        def make(weights=None):
            net = nn.Module()
            net.features = copy.deepcopy(drawn[name])
            net.load_state_dict(torch.load(METRICS[name].file(), weights_only=True))
            return net

        return make

    monkeypatch.setattr(models, "alexnet", without_classifier("lpips"))
    monkeypatch.setattr(torchmetrics_dists, "vgg16", without_classifier("dists"))
    return drawn


def pair(side=40):
    rng = np.random.default_rng(3)
    gt = rng.integers(0, 256, (side, side + 3, 3), np.uint8)
    return np.clip(gt + rng.normal(0, 20, gt.shape), 0, 255).astype(np.uint8), gt


def layers_after(features, x, last):
    """Return what the layers of these numbers put out."""
    outputs = []
    for number, layer in enumerate(features[: last[-1] + 1]):
        x = layer(x)
        if number in last:
            outputs.append(x)
    return outputs


@torch.no_grad()
def lpips(features, sr, gt):
    """The sum over layers of the mean over pixels of weighted squared differences of directions."""
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    spread = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    folder = torchmetrics_lpips.__file__.removesuffix("lpips.py") + "lpips_models/alex.pth"
    weights = torch.load(folder, "cpu", weights_only=True)
    outputs = [
        layers_after(features, ((2 * image - 1 - shift) / spread)[None], (1, 4, 7, 9, 11))
        for image in (sr, gt)
    ]
    total = 0.0
    for number, (x, y) in enumerate(zip(*outputs, strict=True)):
        x, y = (F.normalize(z, dim=1, eps=1e-8) for z in (x, y))
        total += ((x - y) ** 2 * weights[f"lin{number}.model.1.weight"]).sum(1).mean()
    return float(total)


@torch.no_grad()
def dists(features, sr, gt):
    """One minus the weighted similarities of the means and of the covariances of each channel."""
    window = torch.hann_window(5, periodic=False)[1:-1]
    window = torch.outer(window, window) / window.sum() ** 2
    pooled = []
    for layer in features[:30]:
        if isinstance(layer, nn.MaxPool2d):
            layer = Pooled(window)
        pooled.append(layer)
    outputs = []
    for image in (sr, gt):
        x = ((image - IMAGENET[0]) / IMAGENET[1])[None]
        outputs.append([image[None], *layers_after(pooled, x, (3, 8, 15, 22, 29))])
    folder = torchmetrics_dists.__file__.removesuffix("dists.py") + "dists_models/weights.pt"
    weights = torch.load(folder, "cpu", weights_only=True)
    channels = [x.shape[1] for x in outputs[0]]
    alphas, betas = (weights[name].flatten().split(channels) for name in ("alpha", "beta"))
    similar = torch.zeros(())
    for alpha, beta, x, y in zip(alphas, betas, *outputs, strict=True):
        x, y = x.flatten(2)[0], y.flatten(2)[0]
        mean_x, mean_y = x.mean(1), y.mean(1)
        covariance = ((x - mean_x[:, None]) * (y - mean_y[:, None])).mean(1)
        l_term = (2 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)
        variances = x.var(1, correction=0) + y.var(1, correction=0)
        similar += (alpha * l_term + beta * (2 * covariance + 1e-6) / (variances + 1e-6)).sum()
    return float(1 - similar / (weights["alpha"].sum() + weights["beta"].sum()))


class Pooled(nn.Module):
    """The root of the weighted mean of squares in windows of 3×3, every second one."""

    def __init__(self, window):
        super().__init__()
        self.window = window

    def forward(self, x):
        kernel = self.window.expand(x.shape[1], 1, 3, 3)
        squares = F.conv2d(x**2, kernel, stride=2, padding=1, groups=x.shape[1])
        return (squares + 1e-12).sqrt()


def test_values_are_those_of_the_formulas(backbones):
    sr, gt = pair()
    found = PerceptualMetrics(["lpips", "dists"])(sr, gt)
    as_unit = [torch.tensor(image).permute(2, 0, 1) / 255 for image in (sr, gt)]
    assert found == {
        "lpips": pytest.approx(lpips(backbones["lpips"], *as_unit), rel=1e-3),
        "dists": pytest.approx(dists(backbones["dists"], *as_unit), rel=1e-3),
    }
    assert found["lpips"] > 1e-3
    assert found["dists"] > 1e-3


def test_equal_images_are_at_no_distance(backbones):
    _, gt = pair(32)
    assert PerceptualMetrics(["lpips"])(gt, gt) == {"lpips": pytest.approx(0, abs=1e-6)}


def test_images_that_are_too_small_are_refused(backbones):
    metrics = PerceptualMetrics(["lpips"])
    sr, gt = pair(31)
    with pytest.raises(ValueError, match=r"32×32 or more, for lpips, got \(31, 34, 3\)"):
        metrics(sr, gt)
    with pytest.raises(ValueError, match="of one size"):
        metrics(*(image[: 40 + k] for k, image in enumerate(pair(41))))


def test_weights_that_are_missing_are_named_and_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: pytest.fail("fetched"))
    with pytest.raises(ValueError, match=r"lpips needs .*alexnet.*missing.*python -c") as refused:
        check_metrics(["lpips"])
    assert "\n" not in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_damaged_weights_are_named(backbones, tmp_path, monkeypatch):
    whole = METRICS["lpips"].file().read_bytes()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = METRICS["lpips"].file()
    file.parent.mkdir(parents=True)
    file.write_bytes(whole[:1000])
    check_metrics(["lpips"])
    with pytest.raises(ValueError, match=f"{file.name}: cannot be read as weights"):
        PerceptualMetrics(["lpips"])


def comparison():
    quality = Quality(30.0, 0.9, 28.0, 0.8)
    networks = [NetworkResult(name, "", name, "", "") for name in ("Bicubic", "Net")]
    for network, values in zip(networks, ((0.3, 0.5), (0.1, 0.2)), strict=True):
        network.measurements = [
            Measurement(network.label, "A", f"{k}", (9, 9), quality, perceptual={"lpips": value})
            for k, value in enumerate(values)
        ]
    machine = dict.fromkeys(("cpu", "os", "python", "memory_gib", "cores", "cores_usable"), "")
    machine |= {"caches": {}, "packages": {}, "isa": [], "load_average": [0.0]}
    schedule = {"rounds": 0, "untimed": 0, "timed": 0}
    return Comparison("", [], 1, schedule, machine, 2, {"A": 2}, networks)


def test_tables_and_files_have_the_means_and_results_come_back():
    compared = comparison()
    for text in (printed(compared), markdown(compared)):
        assert "| network | A LPIPS |" in text
        assert "| Bicubic |  0.4000 |" in text
        assert "| Net     |  0.1500 |" in text
    assert network_rows(compared)[1]["A_lpips"] == pytest.approx(0.15)
    assert [row["lpips"] for row in image_rows(compared)] == [0.3, 0.5, 0.1, 0.2]
    again = Comparison.from_json(compared.to_json())
    assert again.networks[1].measurements == compared.networks[1].measurements


def test_nothing_is_said_where_no_metric_was_asked_for():
    compared = comparison()
    for network in compared.networks:
        network.measurements = [
            Measurement(**{**vars(m), "perceptual": None}) for m in network.measurements
        ]
    assert "LPIPS" not in printed(compared) + markdown(compared)
    assert "A_lpips" not in network_rows(compared)[0]


def test_the_least_side_is_alexnets(backbones):
    features, side = backbones["lpips"][:12], perceptual.LEAST_SIDE
    assert features(torch.zeros(1, 3, side, side)).shape[2:] == (1, 1)
    with pytest.raises(RuntimeError, match="too small"):
        features(torch.zeros(1, 3, side - 2, side - 2))
