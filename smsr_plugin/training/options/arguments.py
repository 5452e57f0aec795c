"""The keys of a section with a `type`, made from the arguments of what that names.

They become a struct, as the sections in `sections.py` are: types from annotations, or else from
defaults; a few, which all of a kind share, from `ARGUMENTS`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import cache, partial
from typing import Annotated, Any, Literal, NamedTuple, Union, cast

import msgspec
from msgspec import Meta, defstruct

from smsr_plugin.training.options.names import (
    IN_CHANNEL_OPTIONS,
    UPSCALE_OPTIONS,
    Target,
    parameters,
)
from smsr_plugin.training.options.values import (
    NotNegative,
    Positive,
    Section,
    Size,
    Switch,
    Whole,
    about,
    is_section,
    texts,
)

_PACKAGE = __name__.partition(".")[0]


def argument_texts(target: Callable[..., Any]) -> Mapping[str, str]:
    """Return the text on each argument of a class or function, on one line.

    Of this package's alone: other projects' sentences do not go into its docs.
    """
    if not target.__module__.startswith(f"{_PACKAGE}."):
        return {}
    return texts(inspect.getdoc(target), "Args")


class Arguments(NamedTuple):
    """The keys of a section beside `type`."""

    section: type[Section]
    open: bool  #: Whether there may be more, because it takes `**kwargs`.


_Weight = Annotated[NotNegative, about("Weight of the loss.")]
#: Pixels; images that are tried must be larger.
MAX_BORDER = 1000

_InChannels = Annotated[Size, about("Channels of the lq image.")]
_OutChannels = Annotated[Size, about("Channels of the output.")]
_Upscale = Annotated[Size, about("How many times larger the output is, in height and in width.")]
_Lowest = Annotated[NotNegative, about("Lowest learning rate.")]
_Weights = Annotated[
    list[NotNegative], about("Of each restart: what the learning rate is multiplied by.")
]
#: Arguments that mean the same in all of a kind, and take less than their defaults would tell.
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "loss": {
        "loss_weight": _Weight,
        "perceptual_weight": Annotated[NotNegative, about("Weight of the loss of features.")],
        "style_weight": Annotated[NotNegative, about("Weight of the loss of their Gram matrices.")],
        "reduction": Annotated[
            Literal["mean", "sum"], about("Over the values of a batch; a step needs one number.")
        ],
    },
    "metric": {
        "crop_border": Annotated[
            int,
            Meta(ge=0, le=MAX_BORDER),
            about("Pixels at each border that are not measured; usually the scale."),
        ],
        "input_order": Annotated[Literal["HWC"], about("As BasicSR hands images over.")],
        "test_y_channel": Annotated[
            Switch, about("Whether to measure luma (Y of YCbCr) instead of RGB.")
        ],
        "better": Annotated[
            Literal["higher", "lower"], about("Which of two values is the better one.")
        ],
    },
    "optimizer": {
        "lr": Annotated[Positive, about("Learning rate.", advice="write e.g. `lr: 2e-4`")],
        "weight_decay": Annotated[NotNegative, about("Weight of the L2 penalty.")],
    },
    "scheduler": {
        "milestones": Annotated[
            list[Whole], about("Iterations after which the learning rate is multiplied by `gamma`.")
        ],
        "gamma": Annotated[Positive, about("Factor of the learning rate.")],
        "restarts": Annotated[list[Whole], about("Iterations at which it restarts.")],
        "restart_weights": _Weights,
        "periods": Annotated[
            Annotated[list[Size], Meta(min_length=1)],
            about("Iterations of each cycle; together at least `total_iter`."),
        ],
        "eta_min": _Lowest,
    },
    "network": {
        **dict.fromkeys(IN_CHANNEL_OPTIONS, _InChannels),
        **dict.fromkeys(("num_out_ch", "out_channels"), _OutChannels),
        **dict.fromkeys(UPSCALE_OPTIONS, _Upscale),
    },
    "converter": {},
}
#: What arguments mean that BasicSR's classes, or the options of SMSR as a whole, tell elsewhere.
_TEXTS: Mapping[str, str] = {
    "num_feat": "Feature channels.",
    "num_layer": "Convolutions with masks in each block.",
    "num_block": "Blocks.",
    "img_range": "Images of 0…1 are multiplied by it inside, and the output is divided by it.",
    "rgb_mean": "Subtracted from images of 0…1 inside, and added again.",
    "eps": "Added inside, against a division by 0.",
    "layer_weights": "Layers of VGG, such as `conv5_4`, each with its weight.",
    "vgg_type": "Which VGG; torchvision downloads its weights.",
    "use_input_norm": "Whether images are normalised as VGG's were.",
    "range_norm": "Whether images are in -1…1.",
    "criterion": "Difference of features: `l1`, `l2` or `fro`.",
    "convert_to": "What is measured: `y` (luma) or `gray`.",
    "end_weight": "The weight that it falls to.",
}
#: Arguments that are not keys: the pipeline passes them.
_GIVEN: Mapping[str, Sequence[str]] = {
    "metric": ("img", "img2"),
    "converter": ("net",),
    "optimizer": ("params",),
    "scheduler": ("optimizer", "last_epoch"),
}
#: Without a default, although the signature has one: BasicSR passes it by position.
_REQUIRED = {("optimizer", "lr")}
#: Read from the same section, but not by what it names.
_BESIDE: Mapping[str, Mapping[str, Any]] = {"metric": {"better": "higher"}}


@cache
def arguments(kind: str, target: Target) -> Arguments:
    """Return the keys that the arguments of `target`, of a kind, make."""
    hints, texts = _hints(target), argument_texts(target)
    fields: dict[str, tuple[str, Any, Any] | tuple[str, Any]] = {}
    open_ended = False
    for name, parameter in parameters(target).items():
        if parameter.kind is parameter.VAR_KEYWORD:
            # BasicSR's metrics take any keyword, to be handed images that they do not need.
            open_ended = not (kind == "metric" and target.__module__.startswith("basicsr."))
        elif name not in _GIVEN.get(kind, ()) and parameter.kind is not parameter.VAR_POSITIONAL:
            told = ARGUMENTS[kind].get(name)
            if told is not None and name in texts:
                told = Annotated[told, about(texts[name])]
            if told is None:
                found = _type(hints.get(name, parameter.empty), parameter.default)
                told = Annotated[found, about(texts.get(name) or _TEXTS.get(name, ""))]
            required = parameter.default is parameter.empty or (kind, name) in _REQUIRED
            fields[name] = (name, told) if required else (name, told, _default(parameter))
    for name, default in _BESIDE.get(kind, {}).items():
        fields.setdefault(name, (name, ARGUMENTS[kind][name], default))
    struct = defstruct(target.__name__, fields.values(), bases=(Section,), kw_only=True)
    return Arguments(cast(type[Section], struct), open_ended)


def _hints(target: Target) -> Mapping[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target  # type: ignore[misc]
    try:
        return typing.get_type_hints(function)
    except Exception:  # names that only a type checker imports
        return {}


def _default(parameter: inspect.Parameter) -> Any:
    """Return a default that a struct takes: lists as tuples, what else can change as a copy."""
    value: Any = parameter.default
    if isinstance(value, list):
        return cast(Any, tuple(cast(list[Any], value)))
    return msgspec.field(default_factory=partial(copy, value)) if is_section(value) else value


def _type(hint: Any, default: Any) -> Any:
    """Return the type of values in an option file for an argument with this hint and default."""
    if hint is not inspect.Parameter.empty:
        return _plain(hint)
    if isinstance(default, bool):
        return bool
    if isinstance(default, int | float):
        return float  # `res_scale=1` takes 0.1
    if isinstance(default, str):
        return str
    return list[Any] if isinstance(default, tuple | list) else Any


def _plain(hint: Any) -> Any:
    """Return a hint with what no option file can hold, such as tensors, left out."""
    if hint in (bool, int, float, str, type(None)):
        return hint
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return hint
    if origin in (Union, types.UnionType):
        plain = tuple(p for p in map(_plain, parts) if p is not Any)
        return Union[plain] if plain and Any not in parts else Any  # noqa: UP007  from a tuple
    if origin is tuple and parts and parts[-1] is not Ellipsis:
        return tuple[tuple(map(_plain, parts))]
    if origin in (tuple, list, Sequence, Iterable):
        return list[_plain(parts[0])] if parts else list[Any]
    return Any
