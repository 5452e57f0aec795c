"""Finding the state dict inside what was stored, and giving it our names and another range."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.config import DIV2K_RGB_MEAN
from smsr_plugin.names import listed

#: Where a state dict may be kept inside a checkpoint, preferred first.
CONTAINERS = ("params_ema", "params", "state_dict")
#: What DataParallel and torch.compile put before every key, in any order.
WRAPPER_PREFIX = re.compile(r"((module|_orig_mod)\.)+")
#: What BasicSR's training states hold.
TRAINING_STATE = {"epoch", "iter", "optimizers", "schedulers"}

#: The released checkpoints' names of our parameters.
RELEASED_NAMES = (
    (r"^body\.(\d+)\.spa_mask\.0\.", r"blocks.\1.spa_mask.conv1."),
    (r"^body\.(\d+)\.spa_mask\.3\.", r"blocks.\1.spa_mask.conv2."),
    (r"^body\.(\d+)\.spa_mask\.5\.", r"blocks.\1.spa_mask.deconv."),
    (r"^body\.(\d+)\.body\.ch_mask$", r"blocks.\1.ch_mask"),
    (r"^body\.(\d+)\.body\.body\.(\d+)\.", r"blocks.\1.convs.\2."),
    (r"^body\.(\d+)\.body\.collect\.", r"blocks.\1.fuse."),
    (r"^body\.(\d+)\.ca\.conv_du\.0\.", r"blocks.\1.attention.squeeze."),
    (r"^body\.(\d+)\.ca\.conv_du\.2\.", r"blocks.\1.attention.excite."),
)
#: The 1×1 convolutions with which the released network shifts the mean.
MEAN_SHIFTS = ("sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias")
#: Relative difference between channels' ranges that rounding can explain.
RANGE_TOLERANCE = 1e-4
#: Characters of a key that an error shows.
NAME_LENGTH = 120
#: How often the stored values may be named; networks that share weights do so a few times.
MAX_SHARING = 16


def find_state_dict(
    root: object, param_keys: Sequence[str] = CONTAINERS, required: bool = False
) -> tuple[Mapping[str, object], str | None]:
    """Return the state dict inside `root` and the key it was kept under, None if bare.

    Args:
        root: What the file held.
        param_keys: Where to look, preferred first.
        required: Refuse to take `root` itself where none of the keys exists.

    Raises:
        CheckpointError: If there is no state dict.
    """
    if not isinstance(root, Mapping) or not root:
        kind = "an empty dict" if isinstance(root, Mapping) else f"a {type(root).__name__}"
        raise CheckpointError(f"holds {kind} where a dict of tensors was expected")
    if root.keys() >= TRAINING_STATE:
        raise CheckpointError(
            "is a training state (optimizers and schedulers); the network is in the net_g_*.pth "
            "file of the same iteration, in the models folder"
        )
    key = next((key for key in param_keys if key in root), None)
    nested = [str(key) for key, value in root.items() if isinstance(value, Mapping)]
    if key is None and nested:
        raise CheckpointError(
            f"has no {' or '.join(map(repr, param_keys))}; "
            f"param_key can be one of: {shortened(nested)}"
        )
    if key is None and required:
        raise CheckpointError(
            f"has no {' or '.join(map(repr, param_keys))}: it holds a bare state dict, so leave "
            "param_key out"
        )
    inner = root if key is None else root[key]
    if not isinstance(inner, Mapping) or not inner:
        raise CheckpointError(f"holds no state dict under {key!r}, but a {type(inner).__name__}")
    return inner, key


def halved(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return the entries, those of the names as float16.

    Raises:
        CheckpointError: If a value is too large for that.
    """
    entries = {key: value.half() if key in names else value for key, value in state.items()}
    too_large = [key for key, value in entries.items() if not value.isfinite().all()]
    if too_large:
        raise CheckpointError(f"{too_large[0]} has values beyond float16; save it without half")
    return entries


def clean_tensors(state: Mapping[str, object]) -> dict[str, Tensor]:
    """Return copies of the entries, float32 on the CPU, without the wrappers' key prefixes.

    Raises:
        CheckpointError: If a value is not an ordinary real tensor, holds NaN or infinity, or if
            far more values are named than stored.
    """
    if all(isinstance(key, str) and WRAPPER_PREFIX.match(key) for key in state):
        state = {WRAPPER_PREFIX.sub("", key, count=1): value for key, value in state.items()}
    _check_sharing_of(value for value in state.values() if isinstance(value, Tensor))
    tensors, not_finite = {}, []
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"is not a state dict: {quoted(key)} holds a {type(value).__name__}, not a tensor"
            )
        tensors[key] = _as_float32(key, value)
        if not tensors[key].isfinite().all():
            not_finite.append(key)
    if not_finite:
        raise CheckpointError(
            f"NaN or infinity in {shortened(not_finite)}: the training that wrote it had diverged"
        )
    return tensors


def _check_sharing_of(tensors: Iterable[Tensor]) -> None:
    claimed, stored = 0, dict[int, int]()
    for tensor in filter(_is_ordinary, tensors):
        storage = tensor.untyped_storage()
        claimed += tensor.numel() * tensor.element_size()
        stored[storage.data_ptr()] = storage.nbytes()
    check_sharing(claimed, sum(stored.values()))


def check_sharing(named: int, stored: int) -> None:
    """Refuse so many bytes of values named, of those stored, that copies would fill the memory."""
    if named > MAX_SHARING * stored:
        raise CheckpointError(
            f"names {named:,} bytes of values and stores {stored:,}: no network shares its weights "
            "so often"
        )


def _as_float32(key: str, tensor: Tensor) -> Tensor:
    if _is_ordinary(tensor):
        try:
            return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
        except RuntimeError:  # the dtype is one that PyTorch only stores
            pass
    raise CheckpointError(
        f"{quoted(key)} is not an ordinary tensor of real numbers: {tensor.dtype}, "
        f"{'nested' if tensor.is_nested else f'{tensor.layout}, shape {tuple(tensor.shape)}'}"
    )


def _is_ordinary(tensor: Tensor) -> bool:
    """Tell whether a tensor is dense, real, not empty, and has memory for each of its values."""
    return (
        not tensor.is_nested
        and tensor.layout == torch.strided
        and tensor.device.type != "meta"
        and not tensor.is_complex()
        and not tensor.is_quantized
        and tensor.numel() > 0
        # A broadcast view can claim any shape; what follows sizes a network by the shapes.
        and tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()
    )


def our_name(key: str) -> str:
    """Return our name of a parameter of the released checkpoints; other keys stay as they are."""
    for pattern, replacement in RELEASED_NAMES:
        key = re.sub(pattern, replacement, key)
    return key


def rename_released(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """Give the released checkpoint's keys our names and its mean shifts our buffers.

    Returns:
        The state dict with our names, and whether it was a released one (else it is unchanged).

    Raises:
        CheckpointError: If the mean shifts are not those of a value range with DIV2K's mean.
    """
    renamed = {our_name(key): tensor for key, tensor in state.items()}
    if any(key not in renamed for key in MEAN_SHIFTS):
        return renamed, renamed.keys() != state.keys()
    renamed["rgb_mean"], renamed["img_range"] = _mean_and_range(
        *(renamed.pop(key) for key in MEAN_SHIFTS)
    )
    return renamed, True


def _mean_and_range(
    sub_weight: Tensor, sub_bias: Tensor, add_weight: Tensor, add_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Return rgb_mean and img_range from x·I − R·mean and its inverse."""
    mean = torch.tensor(DIV2K_RGB_MEAN)
    identity = torch.eye(len(mean)).view(len(mean), len(mean), 1, 1)
    if sub_bias.shape == mean.shape and torch.equal(add_bias, -sub_bias):
        ranges = -sub_bias / mean
        whole = ranges.mean().round()
        close = torch.isclose(ranges.mean(), whole, rtol=RANGE_TOLERANCE, atol=0)
        img_range = whole if close else ranges.mean()
        same = torch.allclose(ranges, img_range.expand(3), rtol=RANGE_TOLERANCE, atol=0)
        if same and torch.equal(sub_weight, identity) and torch.equal(add_weight, identity):
            return (-sub_bias / img_range).view(1, -1, 1, 1), img_range
    raise CheckpointError(
        f"sub_mean and add_mean do not shift by the mean {DIV2K_RGB_MEAN} times a value range: "
        f"biases {sub_bias.tolist()} and {add_bias.tolist()}"
    )


def quoted(name: object) -> str:
    """Return a name from a file of any content, fit for a line: in quotes, escaped, cut if long."""
    return repr(name[:NAME_LENGTH] if isinstance(name, str) else name)[: NAME_LENGTH + 2]


def shortened(names: Sequence[str], limit: int = 4) -> str:
    """Return the first `limit` names, as `quoted` but without quotes, and how many follow."""
    return listed([quoted(name)[1:-1] for name in names], limit)


#: How each tensor scales when the range is multiplied by r: by r to this power.
RANGE_POWERS = {"head.0.weight": -1, "tail.0.weight": 1, "tail.0.bias": 1}


def fold_img_range(state_dict: Mapping[str, Tensor], img_range: float) -> dict[str, Tensor]:
    """Re-express an SMSR's weights for a network that works on another value range.

    The network takes and returns 0…1 and computes on x0 = (x − mean)·R inside. With
    r = img_range / R, dividing head.0.weight by r gives the same features, and so the same masks,
    from r·x0; multiplying tail.0.weight and tail.0.bias by r makes the residual r times as large,
    which is what the bicubic upsample of r·x0 needs; dividing by the new range removes r again.
    The result is the same function: exactly so in real numbers, and up to the rounding of these
    three tensors in floating point. From 255 to 1: head.0.weight × 255, tail.0 / 255.

    Args:
        state_dict: An SMSR's state dict; its `img_range` entry says which range it is for.
        img_range: The range wanted, above 0.

    Returns:
        A new dict. The three tensors and `img_range` are new, the others are shared.

    Raises:
        CheckpointError: If `img_range` is not above 0 or `state_dict` is not an SMSR's.
    """
    absent = [key for key in (*RANGE_POWERS, "img_range") if key not in state_dict]
    if absent:
        raise CheckpointError(f"not the state dict of an SMSR: {', '.join(absent)} missing")
    if not 0 < img_range < float("inf"):
        raise CheckpointError(f"img_range must be finite and above 0, got {img_range}")
    ratio = float(img_range) / float(state_dict["img_range"])
    folded = dict(state_dict)
    for key, power in RANGE_POWERS.items():
        tensor = state_dict[key]
        # In double, so that each value is rounded once.
        folded[key] = (tensor.detach().double() * ratio**power).to(tensor.dtype)
    folded["img_range"] = state_dict["head.0.weight"].new_tensor(img_range)
    return folded
