"""Steps of networks with masks at tiles; see `smsr_plugin.archs.steps` for the others."""

from __future__ import annotations

from dataclasses import dataclass

from smsr_plugin.archs.step import A, Part, StepBase

#: Side of a tile; two strides of 2 make one score of it.
TILE = 4
#: Of the windows that a predictor takes local means over, and of the one it seeks a gradient in.
MEAN_SIDES, GRADIENT_SIDE = (3, 7), 5
#: It measures details in 8-bit levels: log(1 + 255·x) is linear below one level.
LEVELS = 255.0
#: Share of an image's mean worth that its tiles' scores are without. PSNR is a logarithm: where
#: an image has little error, what a tile adds to it costs more decibels. At 0 a
#: tile would count for what it is, at 1 all images would have about the same density. Figures:
#: docs/sparsify.md.
EVENNESS = 0.4

#: The attention looks at the image through a convolution, then a maximum, both without padding.
CONV_SIZE, CONV_STRIDE = 3, 2
POOL_SIZE, POOL_STRIDE = 7, 3
#: Least height and width (15) that leave it one position to pool.
MIN_SIDE = CONV_SIZE + CONV_STRIDE * (POOL_SIZE - 1)


@dataclass(frozen=True)
class DecideTiles(StepBase[A]):
    """Decides masks from the lq image, at tiles of 4×4 pixels.

    Of what `detail_planes` makes of the image: conv3×3 of stride 2, ReLU, conv3×3 of stride 2,
    ReLU, conv3×3, all padded with zeros: what each tile is worth to each block. A tile's score is
    its worth less `EVENNESS` times the mean of all tiles and blocks, and it is important where
    that exceeds the threshold.

    Attributes:
        masks: Which masks it decides, K.
        conv1, bias1: (M, 2·num_in_ch + 1, 3, 3), (M,).
        conv2, bias2: (M, M, 3, 3), (M,).
        conv3, bias3: (K, M, 3, 3), (K,).
    """

    masks: tuple[int, ...]
    conv1: A
    bias1: A
    conv2: A
    bias2: A
    conv3: A
    bias3: A
    part: str = "masks"

    @property
    def reads(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Narrow(Part[A]):
    """A path with few channels: widen · act(conv ∗ x + bias).

    Attributes:
        conv, bias: (M, C, 3, 3), (M,).
        widen: (N, M).
        slope: Of the activation.
    """

    conv: A
    bias: A
    widen: A
    slope: float


@dataclass(frozen=True)
class Blend(StepBase[A]):
    """One product at important pixels, another one elsewhere.

    out = weight · Σ xs + bias at important pixels, substitute · x + substitute_bias + narrow(x)
    elsewhere.

    Attributes:
        xs: Planes of C channels; of the mask, where their channels are sparse.
        x: Plane of D channels that exists at every pixel.
        out: Plane.
        mask: Which mask.
        weight, bias: (N, C), (N,).
        substitute, substitute_bias: (N, D), (N,).
        narrow: None for zeros.
    """

    xs: tuple[str, ...]
    x: str
    out: str
    mask: int
    weight: A
    bias: A
    substitute: A
    substitute_bias: A
    narrow: Narrow[A] | None = None
    part: str = "fuse"

    @property
    def reads(self) -> tuple[str, ...]:
        return (*self.xs, self.x)


@dataclass(frozen=True)
class LocalAttention(StepBase[A]):
    """RLFN's attention, ESA: out = x · σ(excite · (coarse + mix · a) + …), a = squeeze · x.

    coarse is a after conv3×3 of stride 2 without padding, the maximum over 7×7 at steps of 3,
    conv3×3 padded with zeros, and bilinear interpolation to the size of x. A side of a below
    `MIN_SIDE` is first continued by its last row or column.

    Attributes:
        x, out: Planes of C channels.
        squeeze, squeeze_bias: (M, C), (M,).
        reduce, reduce_bias: (M, M, 3, 3), (M,); before the maximum.
        refine, refine_bias: (M, M, 3, 3), (M,); after it.
        mix, mix_bias: (M, M), (M,).
        excite, excite_bias: (C, M), (C,).
    """

    x: str
    out: str
    squeeze: A
    squeeze_bias: A
    reduce: A
    reduce_bias: A
    refine: A
    refine_bias: A
    mix: A
    mix_bias: A
    excite: A
    excite_bias: A
    part: str = "attention"
