"""What a pickle of tensors would build, told from its opcodes before anything is unpickled.

A pickle is a program for a machine with a stack and a memo. Here that machine runs without
building anything: of each value it keeps the kind, how deep it nests, and how much it counts with
all that it refers to. Only what `torch.save` writes for state dicts and training states is known;
whatever else the opcodes say is refused.

Source: the opcodes as the standard library's `pickletools` describes them.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Callable, Mapping

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.pickle_values import (
    Kind,
    Limits,
    Value,
    call,
    container,
    damaged,
    named,
    storage,
)

#: Bytes of a line in a pickle, which holds the name of a global.
MAX_LINE = 1024


class PickleSource(io.BytesIO):
    """Bytes that hold pickles one after the other, of which no opcode takes more than it may."""

    def __init__(self, content: bytes, limits: Limits | None = None) -> None:
        super().__init__(content)
        self.limits = limits or Limits()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes; raise CheckpointError if that is more than an opcode may."""
        if size is not None and size > self.limits.text:
            raise CheckpointError(
                f"holds a text or number of {size:,} bytes; up to {self.limits.text:,} are read"
            )
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line; raise CheckpointError if it is longer than any name."""
        line = super().readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            raise CheckpointError(f"holds a name of more than {MAX_LINE:,} bytes")
        return line


def check_pickle(source: PickleSource) -> tuple[Value, dict[str, int]]:
    """Follow one pickle from where the source stands to its end.

    Returns:
        What it would build, and the bytes of each storage outside that it refers to, by its key.

    Raises:
        CheckpointError: If it is no pickle, does what no state dict needs, or exceeds a limit.
    """
    machine = _Machine(source.limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # escapes without meaning in old pickles' text
            root = machine.run(source)
    except CheckpointError:
        raise
    except (ValueError, LookupError) as error:  # bytes without meaning, an empty stack
        raise damaged(error) from error
    return root, {key: value.nbytes for key, value in machine.storages.items()}


class _Machine:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.stack: list[Value] = []
        self.memo: dict[object, Value] = {}
        self.storages: dict[str, Value] = {}
        self.handed = 0  # values that calls were given

    def run(self, source: PickleSource) -> Value:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(source), start=1):
            if count > self.limits.opcodes:
                raise CheckpointError(
                    f"holds a pickle of more than {self.limits.opcodes:,} steps; a state dict of "
                    "tens of thousands of tensors needs fewer"
                )
            if opcode.name == "STOP":
                break
            step = _STEPS.get(opcode.name)
            if step is None:
                raise damaged(f"no state dict needs the pickle opcode {opcode.name}")
            step(self, argument)
        root = self._take()
        if self.stack:
            raise damaged("values are left over at the end of the pickle")
        return root

    def _take(self) -> Value:
        """Pop a value, which is complete with that."""
        value = self.stack.pop()
        if value.kind is Kind.MARK:
            raise damaged("the pickle takes a value that is not there")
        value.is_open = False
        return value

    def _take_to_mark(self) -> list[Value]:
        values = []
        while self.stack[-1].kind is not Kind.MARK:
            values.append(self._take())
        self.stack.pop()
        return values[::-1]

    def _filled(self, *kinds: Kind) -> Value:
        """Return the container on top that is being filled."""
        value = self.stack[-1]
        if value.kind not in kinds or not value.is_open:
            raise damaged(f"it fills a {value.name}, which is no such container or complete")
        return value

    def mark(self, _: object) -> None:
        self.stack.append(Value(Kind.MARK))

    def number(self, argument: object) -> None:
        self.stack.append(Value(Kind.NUMBER, argument))

    def true(self, _: object) -> None:
        self.number(True)

    def false(self, _: object) -> None:
        self.number(False)

    def text(self, argument: object) -> None:
        self.stack.append(Value(Kind.TEXT, argument))

    def tuple(self, _: object) -> None:
        self.stack.append(container(Kind.TUPLE, self.limits, self._take_to_mark()))

    def short_tuple(self, count: int) -> None:
        values = [self._take() for _ in range(count)]
        self.stack.append(container(Kind.TUPLE, self.limits, values[::-1]))

    def empty(self, kind: Kind) -> None:
        value = container(kind, self.limits)
        value.is_open = True
        self.stack.append(value)

    def append(self, _: object) -> None:
        self._extend([self._take()])

    def appends(self, _: object) -> None:
        self._extend(self._take_to_mark())

    def _extend(self, values: list[Value]) -> None:
        target = self._filled(Kind.LIST)
        target.items.extend(values)
        target.add(values, self.limits)

    def set_item(self, _: object) -> None:
        value, key = self._take(), self._take()
        self._filled(Kind.DICT, Kind.ORDERED_DICT).add_items([key, value], self.limits)

    def set_items(self, _: object) -> None:
        values = self._take_to_mark()
        self._filled(Kind.DICT, Kind.ORDERED_DICT).add_items(values, self.limits)

    def put(self, argument: object) -> None:
        if self.stack[-1].kind is Kind.MARK:
            raise damaged("the pickle keeps a value that is not there")
        self.memo[argument] = self.stack[-1]

    def get(self, argument: object) -> None:
        value = self.memo[argument]
        value.is_open = False
        self.stack.append(value)

    def name(self, argument: object) -> None:
        self.stack.append(named(str(argument)))

    def storage(self, _: object) -> None:
        key, value = storage(self._take())
        if self.storages.setdefault(key, value) != value:
            raise damaged(f"it describes the storage {key[:40]!r} in two ways")
        self.stack.append(value)

    def call(self, _: object) -> None:
        arguments, function = self._take(), self._take()
        # What a call makes is a copy, or drops a part: the pickle's value does not count them.
        self.handed += arguments.weight
        if self.handed > self.limits.values:
            raise CheckpointError(
                f"gives calls more than {self.limits.values:,} values, counted as often as they "
                "are given"
            )
        self.stack.append(call(function, arguments, self.limits))

    def attributes(self, _: object) -> None:
        """Give an OrderedDict attributes: a state dict keeps its modules' versions so."""
        state = self._take()
        if state.kind is not Kind.DICT or [key.content for key in state.items] != ["_metadata"]:
            raise damaged("an OrderedDict has other attributes than _metadata")
        self._filled(Kind.ORDERED_DICT).add([state], self.limits)


def _fixed(step: Callable[[_Machine, Kind], None], kind: Kind) -> Callable[..., None]:
    return lambda machine, _: step(machine, kind)


def _short(count: int) -> Callable[..., None]:
    return lambda machine, _: machine.short_tuple(count)


_STEPS: Mapping[str, Callable[[_Machine, object], None]] = {
    "PROTO": lambda machine, _: None,
    "MARK": _Machine.mark,
    **dict.fromkeys(("NONE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"), _Machine.number),
    "NEWTRUE": _Machine.true,
    "NEWFALSE": _Machine.false,
    **dict.fromkeys(("BINUNICODE", "SHORT_BINSTRING"), _Machine.text),
    "TUPLE": _Machine.tuple,
    **{f"TUPLE{count}": _short(count) for count in (1, 2, 3)},
    "EMPTY_TUPLE": _short(0),
    "EMPTY_LIST": _fixed(_Machine.empty, Kind.LIST),
    "EMPTY_DICT": _fixed(_Machine.empty, Kind.DICT),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
    "GLOBAL": _Machine.name,
    "BINPERSID": _Machine.storage,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.attributes,
}
