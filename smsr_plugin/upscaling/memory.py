"""How much memory an image needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smsr_plugin.archs.masked import MaskedConfig

#: The share of the memory available at the start that one run of the network may take.
SHARE = 0.6
#: Bytes of a float32.
FLOAT = 4
#: Of a lq pixel besides the features: the image, its residual, masks and lists of pixels.
BYTES_BESIDES = 256
#: Up to so many lq pixels an image is run as a whole, or in bands, which take less memory and
#: change nothing; a larger one in tiles of the first of these sides: by its size alone, so that the
#: same image gives the same result on every machine. The smaller sides are for machines whose
#: memory does not suffice for that.
WHOLE = 1 << 20
IN_BANDS = 1 << 21
TILES = (512, 256, 128)


def torch_bytes_per_pixel(config: MaskedConfig) -> int:
    """Return what a run in plain PyTorch needs for each lq pixel.

    Counted in feature maps: the outputs of layers and of blocks, each also as a part of a
    concatenation, and what is in the works, which depends on the processor. Measured with L = 4,
    K = 5, C = 64: 3 600 to 4 900 B.
    """
    maps = 2 * config.num_layer + config.num_block + 12
    return maps * config.num_feat * FLOAT + BYTES_BESIDES


def is_shortage(error: BaseException) -> bool:
    """Tell whether an error says that memory is short; PyTorch says so by a RuntimeError."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("allocate" in text or "bad_alloc" in text)
    )


def result_bytes(pixels: int) -> int:
    """Return what so many pixels of a result need.

    Three channels in float32, again while they are resized or rounded, and as integers.
    """
    return pixels * 3 * (4 + 4 + 2)
