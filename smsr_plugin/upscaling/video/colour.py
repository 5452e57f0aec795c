"""Between the frames of a video, luma and chroma, and RGB; and what they say of colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from smsr_plugin.images.pixels import Pixels
from smsr_plugin.upscaling import RequestError

#: From the matrix that a frame names (ITU-T H.273) to swscale's; 2 is one that is not told. Both
#: ways take the same, so that a wrong guess cancels.
MATRICES = {
    0: Colorspace.ITU709,  # a frame that is RGB already
    1: Colorspace.ITU709,
    2: Colorspace.ITU601,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
BT709 = 1
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
#: What is written, by whether a value of the source has more than 8 bits.
WRITTEN = {False: "yuv420p", True: "yuv420p10le"}


@dataclass(frozen=True)
class Colours:
    """What the frames of a video are: the same for all of them.

    Attributes:
        matrix, primaries, transfer: As H.273 numbers them; 2 where it is not told.
        full: Whether luma takes the whole range, 0…255, and not 16…235.
        deep: Whether a value has more than 8 bits.
    """

    matrix: int
    primaries: int
    transfer: int
    full: bool
    deep: bool

    @classmethod
    def of(cls, frame: VideoFrame) -> Colours:
        """Return what a frame says.

        Raises:
            RequestError: If its matrix is one that is not known here.
        """
        rgb = frame.format.is_rgb
        matrix = BT709 if rgb else int(frame.colorspace)
        if matrix not in MATRICES:
            raise RequestError(f"its colours are of a kind that is not read (matrix {matrix})")
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        deep = max(component.bits for component in frame.format.components) > 8
        primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
        return cls(matrix, primaries, transfer, full and not rgb, deep)

    @property
    def written(self) -> str:
        """The pixel format of the result."""
        return WRITTEN[self.deep]

    @property
    def range(self) -> ColorRange:
        return ColorRange.JPEG if self.full else ColorRange.MPEG

    def tag(self, codec: Any) -> None:
        """Say the same of what an encoder writes."""
        codec.colorspace, codec.color_primaries = self.matrix, self.primaries
        codec.color_trc, codec.color_range = self.transfer, int(self.range)


class ToRgb:
    """Frames to (H, W, 3) RGB, uint8, or uint16 where a value has more than 8 bits."""

    def __init__(self, colours: Colours) -> None:
        self.colours, self._reformatter = colours, VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Pixels:
        colours, rgb = self.colours, frame.format.is_rgb
        found = self._reformatter.reformat(
            frame,
            format="rgb48le" if colours.deep else "rgb24",
            src_colorspace=MATRICES[colours.matrix],
            src_color_range=ColorRange.JPEG if rgb else colours.range,
            dst_color_range=ColorRange.JPEG,
            interpolation=EXACT,
            threads=1,
        )
        return cast(Pixels, found.to_ndarray())


class FromRgb:
    """RGB back to frames of the source's kind, of chroma one value for four pixels."""

    def __init__(self, colours: Colours) -> None:
        self.colours, self._reformatter = colours, VideoReformatter()

    def __call__(self, pixels: Pixels) -> VideoFrame:
        colours = self.colours
        array: Any = pixels  # of either type; the stubs ask for one of them
        frame = VideoFrame.from_ndarray(array, format="rgb48le" if colours.deep else "rgb24")
        return self._reformatter.reformat(
            frame,
            format=colours.written,
            src_color_range=ColorRange.JPEG,
            dst_colorspace=MATRICES[colours.matrix],
            dst_color_range=colours.range,
            interpolation=EXACT,
            threads=1,
        )
