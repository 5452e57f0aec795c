"""The steps that a program is made of: plain data, what is computed and with which weights.

A **plane** is a map of features of the lq image's size, (channels, H, W), by name. A **mask** is a
map of important pixels, by number. Where a step is masked, channels are dense (computed at every
pixel) or sparse (computed at important pixels, zero elsewhere); dense ones come first in a plane.

Weights are of any kind of array that has a shape: PyTorch's tensors, NumPy's arrays, or mere names.
An activation is told by its `slope` below zero: 0 for ReLU, more for leaky ReLU, None for none; in
an `ImageConv` and a `MaskedConv` also by a slope of each output's own, (N,), which is PReLU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from smsr_plugin.archs.step import A, Part, Shaped, StepBase
from smsr_plugin.archs.tile_steps import Blend, DecideTiles, LocalAttention

RELU = 0.0
#: See above.
Slope: TypeAlias = float | A | None

#: The largest level of 8 bits with a sign, the same on both sides of 0, and without one.
X_LEVELS, OUT_LEVELS = 127, 255

#: How the lq image is enlarged before the residual is added, as by PyTorch's `interpolate` without
#: aligned corners; "none" leaves it out.
Base: TypeAlias = Literal["bicubic", "bilinear", "nearest", "none"]


@dataclass(frozen=True)
class ImageConv(StepBase[A]):
    """The 3×3 convolution that sees the lq image and a channel of ones, zero outside of it.

    With the weight −Σ W·mean for the ones, the mean that is subtracted from the image is folded
    away exactly, at the border too.

    Attributes:
        out: Plane.
        weight: (N, num_in_ch + 1, 3, 3).
        bias: (N,).
    """

    out: str
    weight: A
    bias: A
    slope: Slope[A] = None
    part: str = "head"

    @property
    def reads(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Conv(StepBase[A]):
    """A convolution at every pixel: act(weight ∗ Σ xs + bias + add).

    Attributes:
        xs: Planes of C channels.
        out: Plane.
        weight: (N, C, 3, 3) or (N, C, 1, 1).
        bias: (N,).
        add: A plane of N channels.
    """

    xs: tuple[str, ...]
    out: str
    weight: A
    bias: A
    slope: float | None = None
    add: str | None = None
    part: str = "convolutions"

    @property
    def reads(self) -> tuple[str, ...]:
        return self.xs if self.add is None else (*self.xs, self.add)


@dataclass(frozen=True)
class Hourglass(StepBase[A]):
    """Decides a mask from features, at half the resolution in between.

    conv3×3, ReLU, average pool 2, conv3×3, ReLU, transposed conv3×3 of stride 2 (padding 1, output
    padding 1). A side that is odd is padded by repeating its last row or column. A pixel is
    important where the result exceeds the threshold.

    Attributes:
        x: Plane of C channels.
        mask: Which mask it decides.
        conv1, bias1: (M, C, 3, 3), (M,).
        conv2, bias2: (M, M, 3, 3), (M,).
        deconv, deconv_bias: (M, 1, 3, 3), (1,): the two classes' logits subtracted.
    """

    x: str
    mask: int
    conv1: A
    bias1: A
    conv2: A
    bias2: A
    deconv: A
    deconv_bias: A
    part: str = "masks"


@dataclass(frozen=True)
class Decide(StepBase[A]):
    """Decides a mask from a plane of one channel: important where it exceeds the threshold.

    Attributes:
        x: Plane of one channel.
        mask: Which mask it decides.
    """

    x: str
    mask: int
    part: str = "masks"


class Peaks(NamedTuple):
    """The values that the largest level of x and of the outputs stands for, in 8 bits.

    What a ReLU puts out is held as 0…`OUT_LEVELS`, a plane with signs as ±`X_LEVELS`. Peaks are
    finite and above 0; they are plain numbers, not weights: an engine that holds planes in 8 bits
    reads them, and all others leave them.
    """

    x: float
    out: float


@dataclass(frozen=True)
class MaskedConv(StepBase[A]):
    """A 3×3 convolution with a mask: act(weight ∗ x + bias).

    At important pixels all outputs see all inputs; elsewhere dense outputs see dense inputs, and
    sparse outputs are constants.

    Attributes:
        x: Plane of C channels; of the same mask, if some of them are sparse.
        out: Plane.
        mask: Which mask.
        weight: (N, C, 3, 3).
        dense: How many of the N outputs are dense.
        bias: (N,); None for zeros.
        rest: (N − dense,), the constants; None for zeros. Where it is given, only a `MaskedConv`
            or a `Blend` can read the plane.
        peaks: For engines that hold x and the outputs in 8 bits; None where no peaks were chosen.
    """

    x: str
    out: str
    mask: int
    weight: A
    dense: int
    bias: A | None = None
    slope: Slope[A] = RELU
    rest: A | None = None
    part: str = "sparse layers"
    peaks: Peaks | None = None


@dataclass(frozen=True)
class Attention(Part[A]):
    """A factor for each channel: sigmoid(excite · ReLU(squeeze · mean over pixels)).

    Attributes:
        squeeze, squeeze_bias: (M, C), (M,).
        excite, excite_bias: (C, M), (C,).
    """

    squeeze: A
    squeeze_bias: A
    excite: A
    excite_bias: A


@dataclass(frozen=True)
class Fuse(StepBase[A]):
    """A 1×1 convolution over the concatenation of masked planes, at every pixel.

    out = attention · (weight · [xs] + bias) + add, sparse channels zero at unimportant pixels.

    Attributes:
        xs: Planes, of the same mask where their channels are sparse.
        out: Plane.
        mask: Which mask.
        weight: (N, ΣC).
        bias: (N,).
        attention: None for 1.
        add: A plane of N channels; None for zeros.
    """

    xs: tuple[str, ...]
    out: str
    mask: int
    weight: A
    bias: A
    attention: Attention[A] | None = None
    add: str | None = None
    part: str = "fuse"

    @property
    def reads(self) -> tuple[str, ...]:
        return self.xs if self.add is None else (*self.xs, self.add)


@dataclass(frozen=True)
class Collect(StepBase[A]):
    """A 1×1 convolution over the concatenation of planes: act(weight · [xs] + bias).

    Attributes:
        xs: Planes.
        out: Plane.
        weight: (N, ΣC).
        bias: (N,).
    """

    xs: tuple[str, ...]
    out: str
    weight: A
    bias: A
    slope: float | None = None
    part: str = "collect"

    @property
    def reads(self) -> tuple[str, ...]:
        return self.xs


@dataclass(frozen=True)
class Upsample(StepBase[A]):
    """The last step: sr = pixel shuffle of a plane + the lq image, enlarged.

    Attributes:
        x: Plane of num_out_ch·upscale² channels.
        base: How the lq image is enlarged.
    """

    x: str
    base: Base = "bicubic"
    part: str = "upsample"


Step: TypeAlias = (
    ImageConv[A]
    | Conv[A]
    | Hourglass[A]
    | Decide[A]
    | DecideTiles[A]
    | MaskedConv[A]
    | Blend[A]
    | LocalAttention[A]
    | Fuse[A]
    | Collect[A]
    | Upsample[A]
)


def is_leaky(slope: Slope[Shaped]) -> bool:
    """Tell whether an activation is neither ReLU nor none."""
    return slope is not None and not (isinstance(slope, float | int) and slope == RELU)
