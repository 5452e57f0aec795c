"""Random programs, and their literal evaluation in float64 as the tests' oracle."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from masked_networks import detail_planes
from torch import Tensor

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import (
    RELU,
    Attention,
    Blend,
    Collect,
    Conv,
    Decide,
    DecideTiles,
    Fuse,
    Hourglass,
    ImageConv,
    LocalAttention,
    MaskedConv,
    Step,
    Upsample,
)
from smsr_plugin.archs.tile_steps import Narrow


class ProgramMaker:
    """Makes programs with random steps; their weights are floats of about unit gain.

    Args:
        seed: Of what is drawn.
        channels: Of most planes.
        at_tiles: Whether blocks may be those of networks with masks at tiles.
    """

    def __init__(self, seed: int, channels: int = 20, at_tiles: bool = False) -> None:
        self.random, self.channels, self.at_tiles = random.Random(seed), channels, at_tiles
        self.generator = torch.Generator().manual_seed(seed)
        self.steps: list[Step[Tensor]] = []
        self.maps = ["head"]
        self.masks = 0

    def weight(self, *shape: int) -> Tensor:
        fan_in = max(1, torch.Size(shape[1:]).numel())
        values = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return values * (2 / fan_in) ** 0.5 if len(shape) > 1 else values * 0.2

    def slope(self) -> float | None:
        return self.random.choice([None, RELU])

    def mask(self) -> int:
        """Add the decision of a mask, by either kind of step."""
        number, x, c = self.masks, self.random.choice(self.maps), self.channels
        self.masks += 1
        if self.random.random() < 0.5:
            logits = Conv((x,), f"logits{number}", self.weight(1, c, 3, 3), self.weight(1))
            self.steps += [logits, Decide(f"logits{number}", number)]
        else:
            m = self.random.choice([1, 5, 18])
            weights = [(m, c, 3, 3), (m,), (m, m, 3, 3), (m,), (m, 1, 3, 3), (1,)]
            self.steps.append(Hourglass(x, number, *(self.weight(*shape) for shape in weights)))
        return number

    def block(self, number: int, mask: int) -> None:
        """Add masked convolutions and a fuse of some of their outputs."""
        x, outputs, c = self.maps[-1], [], self.channels
        value, count = x, c
        for layer in range(self.random.randint(1, 3)):
            width, out = self.random.choice([c, 7, 33]), f"layer{number}.{layer}"
            dense = self.random.choice([0, width, self.random.randint(0, width)])
            bias = self.random.choice([None, self.weight(width)])
            weight = self.weight(width, count, 3, 3)
            self.steps.append(MaskedConv(value, out, mask, weight, dense, bias, self.slope()))
            outputs.append((out, width))
            value, count = out, width
        used = self.random.sample(outputs, self.random.randint(1, len(outputs)))
        total = sum(width for _, width in used)
        self.steps.append(
            Fuse(
                tuple(out for out, _ in used),
                f"block{number}",
                mask,
                self.weight(c, total),
                self.weight(c),
                self.random.choice([None, self.attention()]),
                self.random.choice([None, x, self.random.choice(self.maps)]),
            )
        )
        self.maps.append(f"block{number}")

    def tile_block(self, number: int, mask: int) -> None:
        """Add leaky convolutions with constants, a blend of some of their outputs, an attention."""
        c, x = self.channels, self.maps[-1]
        values, width = [x], c
        for layer in range(self.random.randint(1, 3)):
            count, out = self.random.choice([c, c, 7]), f"hidden{number}.{layer}"
            weight, rest = self.weight(count, width, 3, 3), [None, self.weight(count)]
            bias = self.random.choice([None, self.weight(count)])
            slope = [0.05, 0.5, None, RELU, self.weight(count)]
            self.steps.append(
                MaskedConv(
                    values[-1], out, mask, weight, 0, bias,
                    self.random.choice(slope), self.random.choice(rest),
                )
            )  # fmt: skip
            values.append(out)
            width = count
        others = [x] if width == c else []
        xs = self.random.choice([[values[-1]], [*others, values[-1]], [values[-1], *others]])
        m, narrow = 5, None
        if self.random.random() < 0.5:
            weights = self.weight(m, c, 3, 3), self.weight(m), self.weight(c, m)
            narrow = Narrow(*weights, self.random.choice([0.05, 0.5]))
        weights = self.weight(c, width), self.weight(c), self.weight(c, c), self.weight(c)
        self.steps.append(
            Blend(
                tuple(xs), self.random.choice(self.maps), f"block{number}", mask, *weights, narrow
            )
        )
        self.maps.append(f"block{number}")
        if self.random.random() < 0.6:
            self.local_attention(number)

    def local_attention(self, number: int) -> None:
        """Add an attention of some plane."""
        c, m, x = self.channels, self.random.choice([3, 16]), self.random.choice(self.maps[-2:])
        shapes = [(m, c), (m,), (m, m, 3, 3), (m,), (m, m, 3, 3), (m,), (m, m), (m,), (c, m), (c,)]
        weights = (self.weight(*shape) for shape in shapes)
        self.steps.append(LocalAttention(x, f"attended{number}", *weights))
        self.maps.append(f"attended{number}")

    def tiles(self, colours: int) -> list[int]:
        """Add the decision of several masks at tiles."""
        masks = [self.masks + i for i in range(self.random.randint(1, 3))]
        self.masks += len(masks)
        m, planes, k = self.random.choice([4, 16]), 2 * colours + 1, len(masks)
        shapes = [(m, planes, 3, 3), (m,), (m, m, 3, 3), (m,), (k, m, 3, 3), (k,)]
        self.steps.append(DecideTiles(tuple(masks), *(self.weight(*shape) for shape in shapes)))
        return masks

    def attention(self) -> Attention[Tensor]:
        c, m = self.channels, 3
        shapes = [(m, c), (m,), (c, m), (c,)]
        return Attention(*(self.weight(*shape) for shape in shapes))

    def conv(self, number: int) -> None:
        """Add a convolution of one plane or of a sum."""
        side, xs = self.random.choice([1, 3]), self.random.sample(self.maps, min(2, len(self.maps)))
        xs = xs[: self.random.randint(1, 2)]
        add = self.random.choice([None, self.random.choice(self.maps)])
        weight = self.weight(self.channels, self.channels, side, side)
        self.steps.append(
            Conv(tuple(xs), f"conv{number}", weight, self.weight(len(weight)), self.slope(), add)
        )
        self.maps.append(f"conv{number}")

    def collect(self, number: int) -> None:
        """Add a product over some planes, in the order in which they were made."""
        count = self.random.randint(1, len(self.maps))
        xs = [x for x in self.maps if x in self.random.sample(self.maps, count)] or self.maps[-1:]
        weight = self.weight(self.channels, len(xs) * self.channels)
        bias = self.weight(self.channels)
        self.steps.append(Collect(tuple(xs), f"collect{number}", weight, bias, self.slope()))
        self.maps.append(f"collect{number}")

    def program(self) -> Program[Tensor]:
        c, scale, colours = self.channels, self.random.choice([2, 3, 4]), self.random.choice([1, 3])
        first = self.weight(c, colours + 1, 3, 3)
        slope = self.random.choice([None, RELU, *([self.weight(c)] if self.at_tiles else [])])
        self.steps.append(ImageConv("head", first, self.weight(c), slope))
        masks = self.tiles(colours) if self.at_tiles else []
        for number in range(self.random.randint(1, 3)):
            mask = (
                self.random.choice(masks) if self.random.random() < 0.7 and masks else self.mask()
            )
            for part in range(self.random.randint(1, 2)):
                at_tiles = self.at_tiles and self.random.random() < 0.7
                (self.tile_block if at_tiles else self.block)(10 * number + part, mask)
            if self.random.random() < 0.4:
                self.conv(number)
            if self.random.random() < 0.4:
                self.collect(number)
        blocks = tuple(x for x in self.maps if x.startswith("block"))
        if self.random.random() < 0.5:
            weight = self.weight(c, len(blocks) * c)
            self.steps.append(Collect(blocks, "all", weight, self.weight(c), self.slope()))
            self.maps.append("all")
        xs = self.random.choice([self.maps[-1:], [self.maps[-1], "head"], ["head", *blocks]])
        tail = self.weight(colours * scale**2, c, 3, 3)
        self.steps.append(Conv(tuple(dict.fromkeys(xs)), "tail", tail, self.weight(len(tail))))
        base = self.random.choice(["bicubic", "bilinear", "nearest", "none"])
        self.steps.append(Upsample("tail", base))
        return Program(colours, colours, scale, self.masks, tuple(self.steps))


def literal(program: Program[Tensor], x: Tensor, masks: Tensor | None = None, threshold: float = 0):
    """Evaluate a program as its steps are described, every pixel; return sr, masks and logits.

    Args:
        program: In float64.
        x: (B, C, H, W), float64.
        masks: (B, K, H, W) to use in place of those that it decides.
        threshold: Of the masks.
    """
    planes: dict[str, Tensor] = {}
    used: dict[int, Tensor] = {}
    logits: dict[int, Tensor] = {}

    def act(value, slope):
        if isinstance(slope, Tensor):
            return torch.where(value > 0, value, slope[:, None, None] * value)
        return value if slope is None else F.leaky_relu(value, slope)

    def cat(names):
        return torch.cat([planes[name] for name in names], 1)

    for step in program.steps:
        if isinstance(step, ImageConv):
            ones = torch.cat([x, torch.ones_like(x[:, :1])], 1)
            planes[step.out] = act(F.conv2d(ones, step.weight, step.bias, padding=1), step.slope)
        elif isinstance(step, Conv):
            total = sum(planes[name] for name in step.xs)
            out = F.conv2d(total, step.weight, step.bias, padding=step.weight.shape[-1] // 2)
            added = 0 if step.add is None else planes[step.add]
            planes[step.out] = act(out + added, step.slope)
        elif isinstance(step, Hourglass | Decide):
            value = planes[step.x]
            if isinstance(step, Hourglass):
                value = hourglass(step, value)
            logits[step.mask] = value[:, 0]
            decided = (value[:, 0] > threshold).double()
            used[step.mask] = decided if masks is None else masks[:, step.mask].double()
        elif isinstance(step, MaskedConv):
            mask, value = used[step.mask][:, None], planes[step.x]
            dense_in = value.clone()
            dense_in[:, program.planes[step.x].dense :] = 0
            everywhere = F.conv2d(dense_in, step.weight, step.bias, padding=1)
            everywhere[:, step.dense :] = 0
            important = F.conv2d(value, step.weight, step.bias, padding=1)
            out = act(torch.where(mask > 0, important, everywhere), step.slope)
            if step.rest is not None:
                out = torch.where(mask > 0, out, step.rest[:, None, None])
            planes[step.out] = out
        elif isinstance(step, DecideTiles):
            scores = tile_scores(step, x)
            for number, k in enumerate(step.masks):
                logits[k] = scores[:, number]
                decided = (logits[k] > threshold).double()
                used[k] = decided if masks is None else masks[:, k].double()
        elif isinstance(step, Blend):
            total = sum(planes[name] for name in step.xs)
            important = F.conv2d(total, step.weight[..., None, None], step.bias)
            value = planes[step.x]
            elsewhere = F.conv2d(value, step.substitute[..., None, None], step.substitute_bias)
            if step.narrow is not None:
                n = step.narrow
                hidden = act(F.conv2d(value, n.conv, n.bias, padding=1), n.slope)
                elsewhere = elsewhere + F.conv2d(hidden, n.widen[..., None, None])
            planes[step.out] = torch.where(used[step.mask][:, None] > 0, important, elsewhere)
        elif isinstance(step, LocalAttention):
            planes[step.out] = local_attention(step, planes[step.x])
        elif isinstance(step, Fuse):
            out = F.conv2d(cat(step.xs), step.weight[..., None, None], step.bias)
            if step.attention is not None:
                a = step.attention
                hidden = F.relu(out.mean((2, 3)) @ a.squeeze.T + a.squeeze_bias)
                out = out * torch.sigmoid(hidden @ a.excite.T + a.excite_bias)[..., None, None]
            planes[step.out] = out if step.add is None else out + planes[step.add]
        elif isinstance(step, Collect):
            out = F.conv2d(cat(step.xs), step.weight[..., None, None], step.bias)
            planes[step.out] = act(out, step.slope)
        else:
            sr = F.pixel_shuffle(planes[step.x], program.upscale)
            if step.base != "none":
                sr = sr + F.interpolate(x, scale_factor=program.upscale, mode=step.base)
    order = range(program.num_masks)
    return sr, torch.stack([used[k] for k in order], 1), torch.stack([logits[k] for k in order], 1)


def hourglass(step: Hourglass[Tensor], value: Tensor) -> Tensor:
    height, width = value.shape[-2:]
    value = F.pad(value, (0, width % 2, 0, height % 2), mode="replicate")
    value = F.avg_pool2d(F.conv2d(value, step.conv1, step.bias1, padding=1).relu(), 2)
    value = F.conv2d(value, step.conv2, step.bias2, padding=1).relu()
    options = {"stride": 2, "padding": 1, "output_padding": 1}
    value = F.conv_transpose2d(value, step.deconv, step.deconv_bias, **options)
    return value[..., :height, :width]


def tile_scores(step: DecideTiles[Tensor], x: Tensor) -> Tensor:
    """Return the score of each pixel's tile."""
    value = torch.from_numpy(detail_planes(x.numpy()))
    value = F.conv2d(value, step.conv1, step.bias1, 2, 1).relu()
    value = F.conv2d(value, step.conv2, step.bias2, 2, 1).relu()
    value = F.conv2d(value, step.conv3, step.bias3, padding=1)
    value = torch.stack([image - 0.4 * image.sum() / image.numel() for image in value])
    height, width = x.shape[2:]
    rows, columns = torch.arange(height) // 4, torch.arange(width) // 4
    return value[:, :, rows[:, None], columns]


def local_attention(step: LocalAttention[Tensor], x: Tensor) -> Tensor:
    a = F.conv2d(x, step.squeeze[..., None, None], step.squeeze_bias)
    height, width = (max(0, 15 - side) for side in x.shape[2:])
    coarse = F.pad(a, (0, width, 0, height), mode="replicate")
    coarse = F.max_pool2d(F.conv2d(coarse, step.reduce, step.reduce_bias, 2), 7, 3)
    coarse = F.conv2d(coarse, step.refine, step.refine_bias, padding=1)
    coarse = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
    mixed = coarse + F.conv2d(a, step.mix[..., None, None], step.mix_bias)
    return x * torch.sigmoid(F.conv2d(mixed, step.excite[..., None, None], step.excite_bias))
