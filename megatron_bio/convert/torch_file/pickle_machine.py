"""A machine for pickles that can make plain values, what `Names` allows, and nothing else.

The operations are those of Python's pickletools. The interpreter's own unpickler calls methods of what it makes and
allocates what a file asks for; here each operation and each byte is counted first, and nothing has methods of the file's.
"""

import pickle
import struct
from collections.abc import Callable
from typing import Any

from megatron_bio.convert.errors import ConvertError
from megatron_bio.convert.torch_file.names import Names
from megatron_bio.convert.torch_file.refusal import Budget, Refused, shown
from megatron_bio.convert.torch_file.region import Stream
from megatron_bio.convert.torch_file.values import MAPPINGS, Placeholder, check_key

_MOST_OPERATIONS = 5_000_000
_LONGEST_NUMBER = 64
_LONGEST_LINE = 256


class PickleMachine:
    """Reads pickles that follow each other in a stream, each with `load`."""

    def __init__(
        self, stream: Stream, names: Names, persistent: Callable[[Any], Any], budget: Budget
    ) -> None:
        self._stream = stream
        self._names = names
        self._persistent = persistent
        self._budget = budget
        self._operations_left = _MOST_OPERATIONS

    def load(self) -> Any:
        """Return the value of the next pickle; raises `ConvertError` for one that is damaged or not allowed."""
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        at = self._stream.position
        try:
            while True:
                at = self._stream.position
                code = self._stream.read(1)
                if code == pickle.STOP:
                    return self._pop()
                self._operations_left -= 1
                if self._operations_left < 0:
                    raise Refused(f"it has more than {_MOST_OPERATIONS:,} operations")
                operation = _OPERATIONS.get(code)
                if operation is None:
                    raise Refused(f"operation {code!r} is none that torch.save writes")
                operation(self)
        except Refused as error:
            raise ConvertError(
                f"{self._stream.region.name}: the pickle in it is refused at byte {at:,}: {error}. Either the file is damaged "
                f"(compare its checksum with the original), or it is more than a checkpoint: if you trust it, load it with "
                f"torch and save a dict of its tensors alone with torch.save."
            ) from error

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise Refused("it takes a value where none is")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise Refused("it takes values back to a mark where none is")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def _number(self, layout: str) -> int:
        (value,) = struct.unpack(layout, self._stream.read(struct.calcsize(layout)))
        return int(value)

    def _content(self, layout: str) -> bytes:
        size = self._number(layout)
        if size < 0:
            raise Refused(f"it has a value of {size:,} bytes")
        self._budget.take(size)
        return self._stream.read(size)

    def _text(self, layout: str) -> str:
        try:
            return self._content(layout).decode()
        except UnicodeDecodeError as error:
            raise Refused("it has text that is not UTF-8") from error

    def _line(self) -> str:
        try:
            return self._stream.line(_LONGEST_LINE).decode()
        except UnicodeDecodeError as error:
            raise Refused("it has a name that is not UTF-8") from error

    # Numbers

    def _float(self) -> None:
        self._push(struct.unpack(">d", self._stream.read(8))[0])

    def _decimal(self) -> None:
        text = self._line().removesuffix("L")
        if text in ("00", "01"):
            self._push(text == "01")
        elif (
            len(text) <= _LONGEST_NUMBER
            and text.removeprefix("-").isascii()
            and text.removeprefix("-").isdigit()
        ):
            self._push(int(text))
        else:
            raise Refused(f"it has the number {text!r}")

    def _long(self, layout: str) -> None:
        size = self._number(layout)
        if not 0 <= size <= _LONGEST_NUMBER:
            raise Refused(f"it has a number of {size:,} bytes")
        self._push(int.from_bytes(self._stream.read(size), "little", signed=True))

    # Containers

    def _append(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is list:
            target.extend(values)
        elif isinstance(target, Placeholder):
            target.elements.extend(values)
        else:
            raise Refused(f"it appends to {shown(target)}")

    def _append_one(self) -> None:
        value = self._pop()
        self._append([value])

    def _set_items(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Placeholder):
            target = target.items
        if type(target) not in MAPPINGS:
            raise Refused(f"it sets items of {shown(target)}")
        target.update(_dict(values))

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def _add_items(self) -> None:
        values = self._pop_to_mark()
        target = self._top()
        if type(target) is not set:
            raise Refused(f"it adds elements to {shown(target)}")
        target.update(check_key(value) for value in values)

    def _tuple(self, size: int) -> None:
        values = tuple(self._pop() for _ in range(size))
        self._push(values[::-1])

    # Names and objects

    def _global(self) -> None:
        module, name = self._line(), self._line()
        self._push(self._names.find(module, name))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise Refused("it names something by a value that is not text")
        self._push(self._names.find(module, name))

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._push(self._names.call(function, arguments))

    def _new_with_keywords(self) -> None:
        keywords, arguments, function = self._pop(), self._pop(), self._pop()
        self._push(self._names.call_with_keywords(function, arguments, keywords))

    def _build(self) -> None:
        state = self._pop()
        self._names.build(self._top(), state)

    def _persistent_id(self) -> None:
        self._push(self._persistent(self._pop()))

    # Stack and memo

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise Refused(f"it refers to value {index:,}, which it has not made")
        self._push(self._memo[index])

    def _pop_one(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _protocol(self) -> None:
        if (protocol := self._number("<B")) > pickle.HIGHEST_PROTOCOL:
            raise Refused(f"it has protocol {protocol}, the newest is {pickle.HIGHEST_PROTOCOL}")


def _dict(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise Refused("a dict has a key without a value")
    return {check_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


_OPERATIONS: dict[bytes, Callable[[PickleMachine], None]] = {
    pickle.PROTO: lambda machine: machine._protocol(),
    pickle.FRAME: lambda machine: machine._stream.read(8) and None,
    pickle.MARK: lambda machine: machine._marks.append(len(machine._stack)),
    pickle.POP: lambda machine: machine._pop_one(),
    pickle.POP_MARK: lambda machine: machine._pop_to_mark() and None,
    pickle.DUP: lambda machine: machine._push(machine._top()),
    pickle.NONE: lambda machine: machine._push(None),
    pickle.NEWTRUE: lambda machine: machine._push(True),
    pickle.NEWFALSE: lambda machine: machine._push(False),
    pickle.INT: lambda machine: machine._decimal(),
    pickle.LONG: lambda machine: machine._decimal(),
    pickle.BININT: lambda machine: machine._push(machine._number("<i")),
    pickle.BININT1: lambda machine: machine._push(machine._number("<B")),
    pickle.BININT2: lambda machine: machine._push(machine._number("<H")),
    pickle.LONG1: lambda machine: machine._long("<B"),
    pickle.LONG4: lambda machine: machine._long("<i"),
    pickle.BINFLOAT: lambda machine: machine._float(),
    pickle.BINSTRING: lambda machine: machine._push(machine._text("<i")),
    pickle.SHORT_BINSTRING: lambda machine: machine._push(machine._text("<B")),
    pickle.BINUNICODE: lambda machine: machine._push(machine._text("<I")),
    pickle.SHORT_BINUNICODE: lambda machine: machine._push(machine._text("<B")),
    pickle.BINUNICODE8: lambda machine: machine._push(machine._text("<Q")),
    pickle.BINBYTES: lambda machine: machine._push(machine._content("<I")),
    pickle.SHORT_BINBYTES: lambda machine: machine._push(machine._content("<B")),
    pickle.BINBYTES8: lambda machine: machine._push(machine._content("<Q")),
    pickle.BYTEARRAY8: lambda machine: machine._push(bytearray(machine._content("<Q"))),
    pickle.EMPTY_LIST: lambda machine: machine._push([]),
    pickle.APPEND: lambda machine: machine._append_one(),
    pickle.APPENDS: lambda machine: machine._append(machine._pop_to_mark()),
    pickle.LIST: lambda machine: machine._push(machine._pop_to_mark()),
    pickle.EMPTY_TUPLE: lambda machine: machine._push(()),
    pickle.TUPLE: lambda machine: machine._push(tuple(machine._pop_to_mark())),
    pickle.TUPLE1: lambda machine: machine._tuple(1),
    pickle.TUPLE2: lambda machine: machine._tuple(2),
    pickle.TUPLE3: lambda machine: machine._tuple(3),
    pickle.EMPTY_DICT: lambda machine: machine._push({}),
    pickle.DICT: lambda machine: machine._push(_dict(machine._pop_to_mark())),
    pickle.SETITEM: lambda machine: machine._set_item(),
    pickle.SETITEMS: lambda machine: machine._set_items(machine._pop_to_mark()),
    pickle.EMPTY_SET: lambda machine: machine._push(set()),
    pickle.ADDITEMS: lambda machine: machine._add_items(),
    pickle.FROZENSET: lambda machine: machine._push(
        frozenset(check_key(value) for value in machine._pop_to_mark())
    ),
    pickle.BINGET: lambda machine: machine._get(machine._number("<B")),
    pickle.LONG_BINGET: lambda machine: machine._get(machine._number("<I")),
    pickle.BINPUT: lambda machine: machine._put(machine._number("<B")),
    pickle.LONG_BINPUT: lambda machine: machine._put(machine._number("<I")),
    pickle.MEMOIZE: lambda machine: machine._put(len(machine._memo)),
    pickle.GLOBAL: lambda machine: machine._global(),
    pickle.STACK_GLOBAL: lambda machine: machine._stack_global(),
    pickle.REDUCE: lambda machine: machine._reduce(),
    pickle.NEWOBJ: lambda machine: machine._reduce(),
    pickle.NEWOBJ_EX: lambda machine: machine._new_with_keywords(),
    pickle.BUILD: lambda machine: machine._build(),
    pickle.BINPERSID: lambda machine: machine._persistent_id(),
}
"""Operations of protocols 1 to 5. Missing: the text of protocol 0, INST and OBJ, EXT and its registry, buffers outside."""
