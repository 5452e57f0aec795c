"""Option files read safely: plain values only, in order, each error on one clear line."""
# pyright: standard

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.constructor import ConstructorError

from smsr_plugin.staging import open_regular
from smsr_plugin.training.options.errors import OptionError, shown, suggestion
from smsr_plugin.training.options.typed import known_keys
from smsr_plugin.training.options.values import Options, Size, checked, is_section

MERGE_TAG = "tag:yaml.org,2002:merge"
TEXT_TAG = "tag:yaml.org,2002:str"
TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
#: What no option is: dates, bytes, sets and lists of pairs.
OTHER_TAGS = tuple(f"tag:yaml.org,2002:{name}" for name in ("binary", "set", "omap", "pairs"))

#: Bytes of an option file; BasicSR's own have up to 10 KB.
MAX_BYTES = 1 << 20
#: Values of an option file, those that aliases repeat counted each time.
MAX_VALUES = 20_000
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Signs of a number.
LONGEST_NUMBER = 100
#: Whole numbers lie within ± this, as they do where they end up.
MAX_WHOLE = 2**63 - 1


class OptionLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with numbers and dates read as option files mean them.

    `1e-4` is a number (PyYAML follows YAML 1.1, where it is text), and a date is text.
    """

    composed = 0  # values so far

    def get_single_node(self) -> yaml.Node | None:
        """Return the document; its aliases repeat values a limited number of times.

        A file of a few lines can name lists of lists of lists: 10⁹ values as soon as one of them
        is copied or printed.
        """
        node = super().get_single_node()
        if node is not None and _count(node, {}) > MAX_VALUES:
            problem = f"aliases repeat values; more than {MAX_VALUES:,} in all are refused"
            raise ConstructorError(None, None, problem, node.start_mark)
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next value; a file of a megabyte could hold half a million."""
        self.composed += 1
        if self.composed > MAX_VALUES:
            problem = f"more than {MAX_VALUES:,} values are refused"
            raise ConstructorError(None, None, problem, self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            if node.tag in NUMBER_TAGS and len(node.value) > LONGEST_NUMBER:
                raise ValueError  # `1:1:1:…`, of base 60, takes the square of its length
            value = super().construct_object(node, deep)
            if isinstance(value, int) and abs(value) > MAX_WHOLE:
                raise ValueError
            if isinstance(value, str):
                value.encode()  # an escape such as `\ud800` makes text that no file can hold
                if CONTROL.search(value):  # they forge lines of a log, and terminals obey them
                    problem = f"{shown(value)} holds a line end or a control character"
                    raise ConstructorError(None, None, problem, node.start_mark)
            return value
        except (ValueError, LookupError, AttributeError, ArithmeticError) as error:
            # What PyYAML's converters raise on `!!float two`, `!!bool 2`, `!!timestamp now`.
            problem = f"{_source(node)} is not a valid {node.tag.rpartition(':')[2]}"
            raise ConstructorError(None, None, problem, node.start_mark) from error

    def construct_options(self, node: yaml.MappingNode) -> Options:
        """Return a mapping in the file's order; its keys are text and occur once."""
        seen = set[str]()
        for key, _ in node.value:
            if key.tag not in (TEXT_TAG, MERGE_TAG):
                problem = f"a key must be text, got {_source(key)}; quote it"
            elif key.value in seen:
                problem = f"the key {shown(key.value)} occurs twice in one section; keep one"
            else:
                seen.add(key.value)
                continue
            raise ConstructorError(None, None, problem, key.start_mark)
        self.flatten_mapping(node)  # `<<: *other`
        return dict(self.construct_pairs(node, deep=True))

    def refuse_tag(self, suffix: str, node: yaml.Node) -> None:
        """Refuse what PyYAML's other loaders would run or import."""
        problem = f"the tag !!python/{suffix} could run code and is refused; write a plain value"
        raise ConstructorError(None, None, problem, node.start_mark)


def _source(node: yaml.Node) -> str:
    return shown(node.value) if isinstance(node, yaml.ScalarNode) else "a list or section"


def _count(node: yaml.Node, counts: dict[int, int]) -> int:
    """Return how many values a node stands for, aliases followed; an endless one is refused later.

    Args:
        node: The node.
        counts: Of the nodes counted before, by their ids.
    """
    if id(node) not in counts:
        counts[id(node)] = 1
        if isinstance(node, yaml.MappingNode):
            counts[id(node)] += sum(_count(part, counts) for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            counts[id(node)] += sum(_count(part, counts) for part in node.value)
    return counts[id(node)]


OptionLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP_TAG]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
OptionLoader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag not in (TIMESTAMP_TAG, *OTHER_TAGS)
}
OptionLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$", re.ASCII),
    list("-+.0123456789"),
)
OptionLoader.add_constructor("tag:yaml.org,2002:map", OptionLoader.construct_options)
OptionLoader.add_multi_constructor("tag:yaml.org,2002:python/", OptionLoader.refuse_tag)


def read_option_file(path: Path, overrides: Iterable[str] = ()) -> Options:
    """Read a YAML option file and apply the entries of `--force_yml`.

    Args:
        path: The file, UTF-8 (or UTF-16 with a byte order mark).
        overrides: `section:key=value` entries; see `override`.

    Raises:
        OptionError: If the file cannot be read, is too large, is no YAML mapping of plain values,
            has a key twice in one section, or if an override does not fit; it names the file and
            the line.
    """
    try:
        with open_regular(path) as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"cannot read the option file {path}: {reason}") from error
    if len(text) > MAX_BYTES:
        raise OptionError(f"{path}: expected an option file of up to {MAX_BYTES:,} bytes")
    options = parse_yaml(text, str(path))
    if not isinstance(options, dict):
        raise OptionError(f"{path}: expected sections such as `datasets:`, got {shown(options)}")
    for entry in overrides:
        override(options, entry)
    return options


def parse_yaml(text: str | bytes, where: str) -> Any:
    """Return the plain values in a YAML text; `where` names it in errors.

    Raises:
        OptionError: If the text is not YAML, or asks for more than plain values.
    """
    try:
        return yaml.load(text, OptionLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise OptionError(f"{where}{line}: {error.problem}") from error
    except yaml.YAMLError as error:  # bytes that are no text
        raise OptionError(f"{where}: not a text file: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise OptionError(f"{where}: nested too deeply") from error
    except ValueError as error:  # an escape that stands for no character, `\U00110000`
        raise OptionError(f"{where}: not a text file: {error}") from error


def override(options: Options, entry: str) -> None:
    """Apply one `--force_yml` entry, `section:key=value`, to `options` in place.

    The value is read like a value of the option file, so `~` is none and `[1, 2]` a list. A section
    that is not there is made.

    Raises:
        OptionError: If the entry has no `=`, or its key is neither in the option file nor known: a
            mistyped key would otherwise change nothing, silently.
    """
    path, equals, value = entry.partition("=")
    if not equals:
        raise OptionError(f"--force_yml {entry}: expected section:key=value, such as val:pbar=true")
    keys = [key.strip() for key in path.split(":")]
    sections: list[Options] = [options]
    for depth, key in enumerate(keys):
        section = sections[-1]
        known = known_keys(options, keys[:depth])
        if key not in section and key not in known:
            place = ":".join(keys[:depth]) or "the option file"
            nearest = suggestion(key, [*section, *known.names])
            raise OptionError(
                f"--force_yml {entry}: {place} has no key {key!r}{nearest}; it is not in the "
                "option file, and nothing would read it"
            )
        inner = section.get(key)
        # A value that is no section has no keys, which the next turn tells.
        sections.append(inner if isinstance(inner, dict) else {})
    value = parse_yaml(value, f"--force_yml {entry}")
    for section, key, inner in zip(sections, keys, [*sections[1:-1], value], strict=False):
        section[key] = inner


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
    scale = checked(f"{file}: scale", opt.get("scale"), Size | None)
    path = path if is_section(path) else {}
    weights, key = (
        checked(f"{file}: path.{name}", path.get(name), str | None)
        for name in ("pretrain_network_g", "param_key_g")
    )
    options = {name: value for name, value in section.items() if name != "type"}
    return OptionNetwork(
        section["type"], options, scale, Path(weights).expanduser() if weights else None, key
    )
