"""Read a pickle as data: tensors and plain containers, nothing imported, nothing called.

A pickle is a program for a stack machine, and the standard one imports and calls what the
program names. This one knows the same instructions, but names stay names: an object of an
unknown class becomes a `Record` of what would have been its attributes, a function that is
only mentioned becomes a `Reference`, and a function that the program wants called must be
one of the few in `rebuild.BUILDERS`, or the file is refused.
"""

from __future__ import annotations

import os
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files.convert.archive import TorchArchive
from ase_symcalc.potential_files.convert.rebuild import (
    ARRAY,
    BUILDERS,
    DTYPES,
    STATE,
    STORAGES,
    Reference,
    numpy_array,
    plain_key,
    plain_set,
)
from ase_symcalc.potential_files.convert.rebuild import Record as Record

MOST_INSTRUCTIONS = 500_000  # a universal potential takes some ten thousand
MOST_COPIED = 1 << 27  # bytes, or items of containers at their weight
ITEM_WEIGHT = 64  # bytes that an item of a container takes, roughly


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A TorchScript program that is not executed: what it holds, and what is written beside it."""

    module: Any
    extra: dict[str, bytes]


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """Read what `torch.save` wrote, as data.

    Returns
    -------
    object
        Tensors (on the CPU, without gradients), numbers, text, dicts (ordered ones too),
        lists, tuples, sets; `Record` and `Reference` for everything else. What was deployed
        by NequIP is a `Program`.

    Raises
    ------
    PotentialFileError
        If the file is missing, damaged, not a torch archive, larger inside than outside, or
        wants something called.
    """
    archive = TorchArchive(path)
    try:
        content = _Machine(archive).run()
        return Program(content, archive.extra) if archive.extra else content
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise PotentialFileError(
            f"{archive.path}: expected a checkpoint, got a pickle without meaning: "
            f"{str(error)[:200]}. Fetch the file again."
        ) from error


_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class _Machine:
    """The stack machine of a pickle; one method for each family of instructions."""

    def __init__(self, archive: TorchArchive) -> None:
        self.archive = archive
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self) -> Any:
        """Interpret all instructions; the last value left is the result."""
        for count, (code, argument, _) in enumerate(pickletools.genops(self.archive.pickle)):
            if count > MOST_INSTRUCTIONS:
                raise ValueError(f"more than {MOST_INSTRUCTIONS} instructions")
            if code.name in _LITERALS:
                self.stack.append(argument)
            elif code.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[code.name]())
            elif code.name in _STEPS:
                _STEPS[code.name](self, argument)
            elif code.name not in {"PROTO", "FRAME", "STOP"}:
                raise ValueError(f"the instruction {code.name}")
        return self.stack.pop()

    # --- stack and memo ---------------------------------------------------------------

    def mark(self, _: Any) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    # --- containers -------------------------------------------------------------------

    def tuple_of(self, n: int | None) -> None:
        items = self.to_mark() if n is None else self.pop(n)
        self.stack.append(tuple(items))

    def marked_as(self, kind: Callable[[list[Any]], Any]) -> None:
        items = self.to_mark()
        self.stack.append(kind(items))

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, set):
            target.update(map(plain_key, items))
        else:
            (target.items if isinstance(target, Record) else _as(list, target)).extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        state = target.state if isinstance(target, Record) else _as(dict, target)
        state.update(_pairs(items))

    # --- names, objects, storages -----------------------------------------------------

    def name(self, text: str | None) -> None:
        module, name = text.split(" ", 1) if text else self.pop(2)
        full = f"{_PYTHON_2.get(_as(str, module), module)}.{_as(str, name)}"
        self.stack.append(DTYPES.get(full) or Reference(full))

    def call(self, _: Any) -> None:
        function, args = self.pop(2)
        name = _as(Reference, function).name
        if name == "copyreg._reconstructor":  # how objects are made that want no call
            self.stack.append(Record(_as(Reference, args[0]).name))
            return
        if name not in BUILDERS:
            raise PotentialFileError(
                f"{self.archive.path} wants {name[:100]!r} called while it is read, and nothing in "
                "a file is executed here. If you trust it, load it in the package that wrote it "
                "and save its state dict."
            )
        self.spend(*_as(tuple, args))
        self.stack.append(BUILDERS[name](*args))

    def new(self, n: int) -> None:
        kind, args, *keywords = self.pop(n)
        self.spend(*keywords)
        state = dict(_as(dict, keywords[0])) if keywords else {}
        self.stack.append(Record(_as(Reference, kind).name, state, _as(tuple, args)))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Record):
            return  # attributes of a container or tensor say nothing that is needed
        self.spend(*(state if isinstance(state, (list, tuple)) else (state,)))
        if target.name == ARRAY:
            target.state["value"] = numpy_array(state)
            return
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        if not all(part is None or isinstance(part, dict) for part in parts):
            target.state[STATE] = state
            return
        for part in parts:
            target.state.update(part or {})

    def storage(self, _: Any) -> None:
        kind, storage, key, _device, length = _as(tuple, self.stack.pop())
        if kind != "storage" or type(length) is not int or type(key) is not str:
            raise ValueError("something outside the pickle that is no storage")
        dtype = STORAGES[_as(Reference, storage).name]
        self.stack.append(self.archive.storage(key, dtype, length))

    def spend(self, *values: Any) -> None:
        """Count what is about to be copied; one value can be named again and again."""
        for value in values:
            if isinstance(value, (str, bytes, bytearray)):
                self.copied += len(value)
            elif isinstance(value, (dict, list, tuple, set)):
                self.copied += len(value) * ITEM_WEIGHT
        if self.copied > MOST_COPIED:
            raise ValueError("the same values copied again and again")

    def pop(self, n: int) -> list[Any]:
        items = self.stack[-n:]
        if len(items) < n:
            raise ValueError("an instruction without its arguments")
        del self.stack[-n:]
        return items


def _as(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {type(value).__name__} where a {kind.__name__} should be")
    return value


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise ValueError("a key without a value")
    return {plain_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "MARK": _Machine.mark,
    "POP": lambda machine, _: machine.pop(1),
    "POP_MARK": lambda machine, _: machine.to_mark(),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": lambda machine, _: machine.tuple_of(None),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": lambda machine, _: machine.marked_as(list),
    "DICT": lambda machine, _: machine.marked_as(_pairs),
    "FROZENSET": lambda machine, _: machine.marked_as(plain_set),
    "APPEND": lambda machine, _: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.to_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.to_mark()),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "NEWOBJ": lambda machine, _: machine.new(2),
    "NEWOBJ_EX": lambda machine, _: machine.new(3),
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
}
