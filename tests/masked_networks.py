"""Small networks with masks at tiles, and their formulas spelled out in NumPy."""

from __future__ import annotations

import numpy as np
import torch
from literal import Literal, leaky, pixel_shuffle, resize_bilinear, resize_nearest, sigmoid
from numpy.lib.stride_tricks import sliding_window_view

from smsr_plugin.archs.masked_rlfn_arch import MaskedRLFN
from smsr_plugin.archs.masked_srvgg_arch import MaskedSRVGGNetCompact


def tiny_masked_rlfn(seed: int = 0, **options) -> MaskedRLFN:
    """Return a small float64 network in evaluation mode, about half of whose tiles are computed."""
    return tiny(MaskedRLFN, seed, **{"num_feat": 5, "upscale": 2, **options})


def tiny_masked_srvgg(seed: int = 0, **options) -> MaskedSRVGGNetCompact:
    """Return another one; the slopes of its activations are of any size and sign."""
    sizes = {"num_feat": 5, "num_conv": 6, "num_layer": 2, "upscale": 2}
    net = tiny(MaskedSRVGGNetCompact, seed, **{**sizes, **options})
    with torch.no_grad():
        for layer in net.dense.body:
            if isinstance(layer, torch.nn.PReLU):
                layer.weight.normal_()
    return net


def tiny(network, seed, **options):
    torch.manual_seed(seed)
    net = network(**options).double().eval()
    with torch.no_grad():
        net.constants.normal_()
        for substitute in net.substitutes:  # the narrow path begins at 0
            if substitute.narrow is not None:
                substitute.widen.weight.normal_()
        lq = torch.rand(1, net.config.num_in_ch, 64, 64, dtype=torch.float64)
        net.predictor.conv3.bias -= net.predictor.worth(lq).mean((0, 2, 3))
    return net


def detail_planes(x: np.ndarray) -> np.ndarray:
    """Return what a predictor sees of images (B, C, H, W)."""
    height, width = x.shape[2:]
    planes = []
    for side in (3, 7):
        mean = np.empty_like(x)
        for i in range(height):
            for j in range(width):
                rows = slice(max(0, i - side // 2), i + side // 2 + 1)
                columns = slice(max(0, j - side // 2), j + side // 2 + 1)
                mean[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
        planes.append(np.abs(x - mean))
    grey = x.mean(1)
    gradient = np.zeros_like(grey)
    gradient[:, :, :-1] += np.abs(grey[:, :, 1:] - grey[:, :, :-1])
    gradient[:, :-1] += np.abs(grey[:, 1:] - grey[:, :-1])
    padded = np.pad(gradient, [(0, 0), (2, 2), (2, 2)])
    planes.append(sliding_window_view(padded, (5, 5), (1, 2)).max((-2, -1))[:, None])
    return np.log(1 + 255 * np.concatenate(planes, 1))


class LiteralMasked(Literal):
    """What networks with masks at tiles have in common."""

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of all tiles."""
        value = leaky(self.conv("predictor.conv1", detail_planes(x), 2, 1), 0)
        value = leaky(self.conv("predictor.conv2", value, 2, 1), 0)
        worth = self.conv3("predictor.conv3", value)
        return np.stack([image - 0.4 * np.mean(image) for image in worth])

    def masks(self, x: np.ndarray) -> np.ndarray:
        """Return the masks of all pixels."""
        tiles = (self.scores(x) > 0).astype(float)
        return tiles.repeat(4, 2).repeat(4, 3)[:, :, : x.shape[2], : x.shape[3]]

    def skipped(self, k: int, x: np.ndarray) -> np.ndarray:
        """Return what skipped pixels of a block get."""
        skipped = self.conv(f"substitutes.{k}.linear", x)
        if f"substitutes.{k}.narrow.weight" in self.state:
            narrow = leaky(self.conv3(f"substitutes.{k}.narrow", x), 0.05)
            skipped = skipped + self.conv(f"substitutes.{k}.widen", narrow)
        return skipped

    def seen(self, k: int, layer: int, value: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return what the convolution after a layer's sees of it."""
        return np.where(mask > 0, value, self.state["constants"][k, layer][:, None, None])


class LiteralMaskedRLFN(LiteralMasked):
    """The network of a `MaskedRLFN`."""

    def network(self, x: np.ndarray, masks: np.ndarray, upscale: int) -> np.ndarray:
        head = feature = self.conv3("dense.conv_1", x)
        for k in range(6):
            feature = self.block(k, feature, masks[:, k : k + 1])
        feature = self.conv3("dense.conv_2", feature) + head
        return pixel_shuffle(self.conv3("dense.upsampler.0", feature), upscale)

    def block(self, k: int, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        name, value = f"dense.block_{k + 1}", x
        for layer in range(3):
            value = leaky(self.conv3(f"{name}.c{layer + 1}_r", value), 0.05)
            if layer < 2:
                value = self.seen(k, layer, value, mask)
        y = np.where(mask > 0, self.conv(f"{name}.c5", x + value), self.skipped(k, x))
        return self.attention(f"{name}.esa.", y)

    def attention(self, name: str, x: np.ndarray) -> np.ndarray:
        squeezed = self.conv(f"{name}conv1", x)
        missing = [max(0, 15 - side) for side in x.shape[2:]]
        seen = np.pad(squeezed, [(0, 0), (0, 0), *((0, m) for m in missing)], "edge")
        strided = self.conv(f"{name}conv2", seen, stride=2)
        pooled = sliding_window_view(strided, (7, 7), (2, 3))[:, :, ::3, ::3].max((-2, -1))
        coarse = resize_bilinear(self.conv3(f"{name}conv3", pooled), x.shape[2:])
        mixed = coarse + self.conv(f"{name}conv_f", squeezed)
        return x * sigmoid(self.conv(f"{name}conv4", mixed))


class LiteralMaskedSRVGGNetCompact(LiteralMasked):
    """The network of a `MaskedSRVGGNetCompact`."""

    def network(self, x: np.ndarray, masks: np.ndarray, upscale: int) -> np.ndarray:
        blocks, layers = masks.shape[1], self.state["constants"].shape[1] + 1
        feature = self.activated(0, x)
        for k in range(blocks):
            value, mask = feature, masks[:, k : k + 1]
            for layer in range(layers):
                value = self.activated(1 + k * layers + layer, value)
                if layer < layers - 1:
                    value = self.seen(k, layer, value, mask)
            feature = np.where(mask > 0, value, self.skipped(k, feature))
        residual = self.conv3(f"dense.body.{2 * (1 + blocks * layers)}", feature)
        return pixel_shuffle(residual, upscale) + resize_nearest(x, upscale)

    def activated(self, number: int, x: np.ndarray) -> np.ndarray:
        """Return the output of a convolution after its activation."""
        value = self.conv3(f"dense.body.{2 * number}", x)
        slopes = self.state[f"dense.body.{2 * number + 1}.weight"][:, None, None]
        return np.where(value > 0, value, slopes * value)


#: Each kind: the small network, and the oracle of it.
TILE_NETWORKS = {
    "rlfn": (tiny_masked_rlfn, LiteralMaskedRLFN),
    "srvgg": (tiny_masked_srvgg, LiteralMaskedSRVGGNetCompact),
}
