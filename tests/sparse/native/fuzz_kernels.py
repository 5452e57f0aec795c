"""Calls the kernels with odd arguments; a process of its own, see `test_checks.py`.

fuzz_kernels.py calls      prints how many calls raised and how many returned
fuzz_kernels.py threads    prints "alive"
fuzz_kernels.py memory     prints "MemoryError"
"""

from __future__ import annotations

import contextlib
import random
import sys
from typing import Any

import numpy as np

from smsr_plugin import _kernels

CALLS = 5000
#: The kernels of networks with masks at tiles.
AT_TILES = ["strided", "maximum", "attend", "blend", "block", "details"]
#: How often an argument is replaced by an odd one.
ODD = 0.06

#: What planes hold, and so what weights are for.
DTYPES = {"floats": np.float32, "halves": np.uint16, "bytes": np.uint8, "signed": np.int8}
#: Kinds whose products are of bytes.
LEVELS = ("bytes", "signed")
#: How many levels are 1.
PER_ONE = [0.5, 0.0, -3.0, 1e39, float("inf"), float("nan")]
INTEGERS = [-(2**31), -17, -1, 0, 1, 2, 3, 4, 5, 7, 15, 16, 17, 32, 1024, 2**31 - 1, 2**63, 0.5]
SIZES = [(1, 1), (2, 2), (3, 5), (4, 4), (6, 9), (4, 16), (2, 34)]


def shape_of(height: int, width: int) -> tuple[int, int]:
    return (height + 3) // 4 * 4 + 2, (width + 15) // 16 * 16 + 2


def odd_array(rng: random.Random) -> Any:
    kinds = ["float32", "float32", "uint16", "uint8", "int8", "int32", "float64", "bool"]
    dtype = rng.choice(kinds)
    shape = [rng.choice([0, 1, 2, 5, 6, 10, 16, 18, 32]) for _ in range(rng.randrange(6))]
    array = np.zeros(shape, dtype)
    kind = rng.choice(["array", "array", "turned", "strided", "list", "none"])
    if kind == "turned":
        return array.T
    if kind == "strided" and shape:
        return array[::2]
    if kind == "list":
        return array[:1].tolist() if shape else array.tolist()
    return None if kind == "none" else array


def plane(rng: random.Random, size: tuple[int, int], dtype: Any = np.float32) -> Any:
    line = rng.choice([64 // np.dtype(dtype).itemsize] * 40 + [1, 16, 32])
    return np.zeros((rng.choice([0] + [1, 2, 3] * 8), *shape_of(*size), line), dtype)


def indices(rng: random.Random, limit: int) -> Any:
    count = rng.choice([0, 1, 5, 32, 49])
    return np.array([rng.randrange(limit) for _ in range(count)], np.int32)


def pixels(rng: random.Random, size: tuple[int, int]) -> Any:
    stride = shape_of(*size)[1]
    inside = indices(rng, size[0] * size[1])
    return ((inside // size[1] + 1) * stride + inside % size[1] + 1).astype(np.int32)


def activity(rng: random.Random, size: tuple[int, int]) -> Any:
    return np.full(shape_of(*size), rng.randrange(4), np.uint8)


def weights(rng: random.Random, shape: tuple[int, ...], half: bool | None = None) -> Any:
    """Return weights of that shape in float32 or, if `half`, in pairs of bfloat16."""
    if rng.random() < 0.5 if half is None else half:
        *outer, depth, line = shape
        return np.zeros((*outer, depth // 2, line, 2), np.uint16)
    return np.zeros(shape, np.float32)


def of_tiles(rng: random.Random, n: int, kind: str) -> Any:
    """Return weights of a convolution at tiles, of matrix tiles or not."""
    if kind in LEVELS:
        return np.zeros((n, 9, 16, 16, 4), np.int8)
    if kind == "halves" and rng.random() < 0.5:
        return np.zeros((n, 9, 16, 16, 2), np.uint16)
    return weights(rng, (36, n, 16, 16), kind == "halves")


def of_rows(rng: random.Random, n: int, depths: list[int], kind: str) -> Any:
    """Return weights of a product over sources of so many channels, of matrix tiles or not."""
    if kind in LEVELS:
        return np.zeros((n, sum((depth + 63) // 64 * 16 for depth in depths), 16, 4), np.int8)
    if kind == "halves" and rng.random() < 0.5:
        return np.zeros((n, sum((depth + 31) // 32 * 16 for depth in depths), 16, 2), np.uint16)
    whole = [depth + depth % 2 if kind == "halves" else depth for depth in depths]
    return weights(rng, (n, sum(whole), 16), kind == "halves")


def arguments(rng: random.Random, name: str) -> dict[str, Any]:
    """Return arguments that nearly fit each other."""
    size = rng.choice(SIZES)
    given: dict[str, Any] = {"threads": rng.choice([1, 1, 2, 7])}
    in_bytes = False
    n = rng.choice([1, 1, 2, 3])
    if name not in ("compose", *AT_TILES):
        given |= {"height": size[0], "width": size[1]}
    if name == "tiles":
        tiles = ((size[0] + 3) // 4) * ((size[1] + 3) // 4)
        kind = rng.choice(list(DTYPES))
        dtype = DTYPES[kind]
        half_size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
        given |= {
            "tiles": indices(rng, tiles),
            "x": plane(rng, size, dtype),
            "weights": of_tiles(rng, n, kind),
            "out": plane(rng, size, rng.choice([dtype, np.uint16, np.float32, np.uint8])),
            "pooled": rng.choice([None, None, (plane(rng, half_size), 16)]),
            "activity_in": rng.choice([None, activity(rng, size)]),
            "activity_out": rng.choice([None, activity(rng, size)]),
            "stored": rng.choice([1, 2]),
            "k_dense": rng.choice([0, 64 // np.dtype(dtype).itemsize]),
            "pool": rng.random() < 0.2,
            "rest": rng.choice([None, None, np.zeros(64 if kind in LEVELS else 16, dtype)]),
        }
    elif name == "rows":
        count = rng.randrange(4)
        kind = rng.choice(list(DTYPES))
        dtype = DTYPES[kind]
        sources = [
            (plane(rng, size, dtype), rng.randrange(-1, 2), rng.randrange(-1, 2),
             rng.choice([0, 0, 16, 32, 64]), rng.choice([1, 16, 64]),
             rng.choice([None, activity(rng, size)]))
            for _ in range(count)
        ]  # fmt: skip
        given |= {
            "pixels": pixels(rng, size),
            "sources": sources,
            "weights": of_rows(rng, n, [source[4] for source in sources], kind),
            "out": plane(rng, size, rng.choice([dtype, np.uint16, np.float32, np.uint8])),
            "chain": None,
            "levels": rng.choice([None, None, (plane(rng, size, np.int8), rng.choice(PER_ONE))]),
        }
        if rng.random() < 0.5:
            of_out = given["out"].dtype.type
            half = of_out == np.uint16
            chained = of_rows(rng, 1, [16 * n] * rng.choice([1, 2]), "halves" if half else "floats")
            given["chain"] = (chained, None, plane(rng, size, of_out), True)
    elif name == "image":
        channels, ones = rng.choice([0, 1, 3]), rng.random() < 0.5
        given |= {
            "lq": np.zeros((channels, *size), np.float32),
            "weights": weights(rng, (n, 9 * (channels + rng.choice([ones, ones, 0])), 16), False),
            "out": plane(rng, size, rng.choice([np.float32, np.uint16])),
            "has_ones": ones,
        }
    elif name == "compose":
        scale, channels = rng.choice([1, 2, 3, 4]), rng.choice([0, 1, 3])
        given |= {
            "lq": np.zeros((channels, *size), np.float32),
            "residual": plane(rng, size),
            "taps": rng.choice([None, np.zeros((scale, 5), np.float32)]),
            "scale": scale,
            "sr": np.zeros((channels, size[0] * scale, size[1] * scale), np.float32),
        }
    elif name in AT_TILES:
        given |= at_tiles(rng, name, size, n)
    else:
        given["activity"] = activity(rng, size)
    if name == "decide":
        half = (size[0] + 1) // 2, (size[1] + 1) // 2
        given |= {"products": plane(rng, half), "bias": 0.0, "threshold": 0.0}
    if name in ("tiles", "rows"):
        given["unit"] = np.zeros(16 * n, np.float32) if kind in LEVELS else None
        in_bytes = kind in LEVELS and rng.random() < 0.8
        given |= {"relu": rng.random() < 0.5, "sums": rng.random() < 0.3}
        given["residual"] = None if in_bytes else rng.choice([None, None, given["out"]])
    if name not in ("decide", "list_active"):
        names = [isa for isa in _kernels.available() if not in_bytes or _kernels.has_bytes(isa)]
        given["isa"] = rng.choice([None, *names])
    return given


def at_tiles(rng: random.Random, name: str, size: tuple[int, int], n: int) -> dict[str, Any]:
    """Return arguments of a kernel of networks with masks at tiles."""
    if name == "details":
        channels = rng.choice([0, 1, 3, 8])
        return {
            "lq": np.zeros((channels, *size), np.float32),
            "levels": 255.0,
            "out": plane(rng, size),
        }
    if name in ("blend", "block"):
        return blended(rng, size, n) if name == "blend" else block(rng, size, n)
    padding = rng.choice([0, 1])
    half = name != "maximum" and rng.random() < 0.5
    dtype = np.uint16 if half else np.float32
    given: dict[str, Any] = {"size": size, "x": plane(rng, size, dtype)}
    small = tuple(max(1, (side + 2 * padding - 1) // 2) for side in size)
    if name == "strided":
        given |= {"weights": weights(rng, (n, 9 * rng.choice([2, 16, 32]), 16), half)}
        given |= {"first": rng.choice([0, 0, 16])}
        given |= {"out_size": small, "out": plane(rng, small), "padding": padding}
    elif name == "maximum":
        given |= {"side": rng.choice([1, 2, 3]), "step": rng.choice([1, 2, 3])}
        given |= {"out_size": small, "out": plane(rng, small)}
    else:
        given |= {
            "row": rng.choice([given["x"], plane(rng, size, dtype)]),
            "first": rng.choice([0, 0, 16, 32]),
            "weights": weights(rng, (n, rng.choice([2, 16]), 16), half),
            "coarse_size": small,
            "coarse": plane(rng, small),
            "out": rng.choice([given["x"], plane(rng, size, dtype)]),
        }
        for key, side, most in zip(("down", "across"), size, small, strict=True):
            low, high = (
                np.array([rng.randrange(most) for _ in range(side)], np.int32) for _ in range(2)
            )
            given[key] = (low, high, np.zeros(side, np.float32))
    return given


def blended(rng: random.Random, size: tuple[int, int], n: int) -> dict[str, Any]:
    """Return arguments of `blend`."""
    half = rng.random() < 0.5
    dtype = np.uint16 if half else np.float32

    def side() -> Any:
        sources = [(plane(rng, size, dtype), rng.choice([2, 16])) for _ in range(rng.randrange(3))]
        depth = sum(channels for _, channels in sources)
        return sources, weights(rng, (n, depth, 16), half), np.zeros(16 * n, np.float32)

    return {
        "size": size,
        "activity": activity(rng, size),
        "active": side(),
        "inactive": side(),
        "out": plane(rng, size, dtype),
    }


def block(rng: random.Random, size: tuple[int, int], n: int) -> dict[str, Any]:
    """Return arguments of `block`."""
    half = rng.random() < 0.5
    dtype = np.uint16 if half else np.float32
    total = ((size[0] + 3) // 4) * ((size[1] + 3) // 4)

    def conv(outputs: int) -> Any:
        rest = rng.choice([None, np.zeros(16, dtype)])
        return weights(rng, (36, outputs, 16, 16), half), None, rest, True, 0.1, None

    def product(sources: int) -> Any:
        channels = [rng.choice([2, 16]) for _ in range(sources)]
        depth = sum(channels)
        return channels, weights(rng, (n, depth, 16), half), np.zeros(16 * n, np.float32)

    narrow = rng.choice([None, conv(1)])
    return {
        "size": size,
        "x": plane(rng, size, dtype),
        "convs": [conv(1) for _ in range(rng.randrange(4))],
        "active_tiles": np.unique(indices(rng, total)),
        "inactive_tiles": np.unique(indices(rng, total)),
        "activity": activity(rng, size),
        "active": product(1),
        "inactive": product(1 if narrow is None else 2),
        "out": plane(rng, size, dtype),
        "adds_x": rng.random() < 0.5,
        "partly": rng.random() < 0.5,
        "narrow": narrow,
        "attention": None if rng.random() < 0.5 else attention(rng, size, n, dtype),
    }


def attention(rng: random.Random, size: tuple[int, int], n: int, dtype: Any) -> Any:
    """Return the attention of a block."""
    given = at_tiles(rng, "attend", size, n)
    names = ("row", "first", "weights", "coarse_size", "coarse", "down", "across")
    return tuple(given[name] for name in names)


def call(rng: random.Random, name: str) -> bool:
    """Call a kernel; return whether it returned, and did not raise what it should."""
    given = arguments(rng, name)
    for key in given:
        if rng.random() < ODD:
            given[key] = rng.choice([odd_array(rng), rng.choice(INTEGERS), rng.choice(INTEGERS)])
    if isinstance(given.get("threads"), int):
        given["threads"] = min(given["threads"], 16)  # see `threads`
    try:
        getattr(_kernels, name)(**given)
    except (ValueError, TypeError) as error:
        if not str(error):
            raise
        return False
    return True


def calls() -> None:
    np.set_printoptions(threshold=0, edgeitems=1)  # arguments are printed in messages
    rng = random.Random(0)
    names = ["tiles", "rows", "image", "compose", "decide", "list_active", *AT_TILES]
    returned = sum(call(rng, rng.choice(names)) for _ in range(CALLS))
    print(CALLS - returned, returned)


def threads() -> None:
    """Ask for more threads than there is memory for."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (1 << 32, 1 << 32))
    size = (40_000, 1)
    marked = np.full(shape_of(*size), 2, np.uint8)
    with contextlib.suppress(ValueError, MemoryError):
        _kernels.list_active(*size, marked, threads=10_000)
    print("alive")


def memory() -> None:
    """Run out of memory within a parallel region, from which no exception may escape."""
    import resource
    from pathlib import Path

    side = 6000
    marked = np.zeros(shape_of(side, side), np.uint8)
    marked[1 : side + 1, 1 : side + 1] = 2
    small = np.full(shape_of(8, 8), 2, np.uint8)
    _kernels.list_active(8, 8, small, threads=2)  # the threads are there before memory is short
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + (100 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        _kernels.list_active(side, side, marked, threads=2)
    except MemoryError:
        print("MemoryError")


if __name__ == "__main__":
    {"calls": calls, "threads": threads, "memory": memory}[sys.argv[1]]()
