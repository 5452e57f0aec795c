"""The network that an option file describes, and where its weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from smsr_plugin.training.errors import OptionError, wrong
from smsr_plugin.training.options.file import read_option_file
from smsr_plugin.training.options.values import is_section


class OptionNetwork(NamedTuple):
    """What an option file says of its generator."""

    name: str  #: `network_g: type`
    options: dict[str, Any]  #: The other entries of `network_g`.
    scale: int | None  #: None if the file does not say it.
    weights: Path | None  #: `path: pretrain_network_g`, relative to the current folder.
    param_key: str | None  #: `path: param_key_g`


def read_option_network(file: Path) -> OptionNetwork:
    """Read `network_g`, `scale` and the generator's entries of `path`.

    Raises:
        OptionError: If the file cannot be read or holds no such network.
    """
    opt = read_option_file(file)
    section, path = opt.get("network_g"), opt.get("path")
    if not is_section(section) or not isinstance(section.get("type"), str):
        raise OptionError(f"{file}: expected a section network_g with a type")
    scale, weights, key = opt.get("scale"), None, None
    if scale is not None and (not isinstance(scale, int) or isinstance(scale, bool) or scale < 1):
        raise wrong(f"{file}: scale", "a whole number from 1", scale, "it is the network's scale")
    if is_section(path):
        weights, key = path.get("pretrain_network_g"), path.get("param_key_g")
    for name, value in (("pretrain_network_g", weights), ("param_key_g", key)):
        if value is not None and not isinstance(value, str):
            raise wrong(f"{file}: path.{name}", "text", value, "or leave it out")
    options = {name: value for name, value in section.items() if name != "type"}
    return OptionNetwork(
        section["type"], options, scale, Path(weights).expanduser() if weights else None, key
    )
