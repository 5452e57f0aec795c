"""How much memory an image needs."""

from __future__ import annotations

from smsr_plugin.config import SMSRConfig
from smsr_plugin.sparse.native.planes import CACHE_LINE

#: The share of the memory available at the start that one run of the network may take.
SHARE = 0.6
#: A lq pixel besides the features: the image, its residual, masks and lists of pixels.
BYTES_BESIDES = 256
#: Up to so many lq pixels an image is run as a whole, a larger one in tiles of the first of these
#: sides: by its size alone, so that the same image gives the same result on every machine. The
#: smaller sides are for machines whose memory does not suffice for that.
WHOLE = 1 << 20
TILES = (512, 256, 128)


def bytes_per_pixel(config: SMSRConfig, itemsize: int, native: bool) -> int:
    """Return what a run of the network needs for each lq pixel if every pixel is important.

    Counted in feature maps. Native: the outputs of a block's L layers, the block's input, which its
    output replaces, and the final sums; in planes of bfloat16 the outputs of all blocks are kept.
    In plain PyTorch: the outputs of layers and of blocks, each also as a part of a concatenation,
    and what is in the works, which depends on the processor.
    Measured with L = 4, K = 5, C = 64 in float32: 1 720 B on the native kernels, 3 600 to 4 900 B
    in PyTorch.

    Args:
        config: Of the network.
        itemsize: Bytes of a feature: 4 or 2.
        native: On the native kernels.
    """
    layers, blocks = config.num_layer, config.num_block
    if native:
        maps = layers + 1 + (blocks if itemsize == 2 else 1)
        channels = -(-config.num_feat * itemsize // CACHE_LINE) * CACHE_LINE // itemsize
    else:
        maps, channels = 2 * layers + blocks + 12, config.num_feat
    return maps * channels * itemsize + BYTES_BESIDES


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
