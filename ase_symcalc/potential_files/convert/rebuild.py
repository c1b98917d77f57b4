"""What a pickle's objects become, and what is done in the place of functions it wants called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Reference:
    """A class or function that the file mentions."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """An object of a class that is not rebuilt: what it is called, and what it holds.

    Attributes
    ----------
    name : str
        Full name of the class, "package.module.Class".
    state : dict
        Attributes, or items of a mapping; the tensor "value" of a NumPy array; what an
        object of another kind is set to, as "__state__".
    args : tuple
        What the class was called with; a named tuple has its values here.
    items : list
        Elements of a sequence or set.
    """

    name: str
    state: dict[Any, Any] = field(default_factory=dict)
    args: tuple[Any, ...] = ()
    items: list[Any] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Record({self.name[:100]!r})"  # what it holds may be endless


# storage classes by name; numpy's letters for numbers that lie in the pickle itself
STORAGES = {
    f"torch.{name}Storage": dtype
    for name, dtype in (
        ("Double", torch.float64),
        ("Float", torch.float32),
        ("Half", torch.float16),
        ("BFloat16", torch.bfloat16),
        ("Long", torch.int64),
        ("Int", torch.int32),
        ("Short", torch.int16),
        ("Char", torch.int8),
        ("Byte", torch.uint8),
        ("Bool", torch.bool),
    )
}
DTYPES = {str(dtype): dtype for dtype in STORAGES.values()}
_NUMPY_DTYPES = {
    "f8": torch.float64,
    "f4": torch.float32,
    "i8": torch.int64,
    "i4": torch.int32,
    "b1": torch.bool,
}
MOST_AXES = 16
ARRAY, STATE = "numpy.ndarray", "__state__"


def _tensor(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    numbers = (offset, *size, *stride)
    if not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers) or len(size) > MOST_AXES:
        raise ValueError("a tensor of absurd shape or strides")
    count = 1
    for n in size:
        count *= n
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (last >= len(storage) or count > len(storage)):
        raise ValueError(f"a tensor of {count} numbers in a storage of {len(storage)}")
    return storage.as_strided(size, stride, offset) if count else storage.new_empty(size)


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


def _bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError("bytes in another encoding than latin1")
    return text.encode("latin1")


def _numpy_scalar(dtype: Record, data: bytes) -> int | float | bool:
    return _numbers(dtype, data).item()


def numpy_array(state: tuple[Any, ...]) -> Tensor:
    """Numbers of a NumPy array from what it is set to, as a tensor."""
    _version, shape, dtype, column_major, data = state
    flat = _numbers(dtype, data)
    return flat.reshape(shape[::-1]).T if column_major else flat.reshape(shape)


def _numbers(dtype: Record, data: bytes) -> Tensor:
    order = dtype.state[STATE][1] if STATE in dtype.state else "="
    if order == ">" or type(data) is not bytes or type(dtype.args[0]) is not str:
        raise ValueError("an array of numbers of an unknown kind")
    return torch.frombuffer(bytearray(data), dtype=_NUMPY_DTYPES[dtype.args[0]])


def plain_key(value: Any) -> Any:
    """Give back a value that can be hashed at no cost; nested tuples could take for ever."""
    plain = (str, int, float, bool, bytes, type(None), Reference, torch.dtype)
    flat = value if isinstance(value, tuple) else (value,)
    if len(flat) > MOST_AXES or not all(isinstance(part, plain) for part in flat):
        raise ValueError(f"a {type(value).__name__} as a key")
    return value


def plain_set(items: list[Any] | tuple[Any, ...] = ()) -> set[Any]:
    """Make a set of values that can be hashed at no cost."""
    return {plain_key(item) for item in items}


def _dict(pairs: list[Any] | tuple[Any, ...] = ()) -> dict[Any, Any]:
    return {plain_key(key): value for key, value in pairs}


def _elements(items: list[Any] | tuple[Any, ...] = ()) -> list[Any] | tuple[Any, ...]:
    if not isinstance(items, (list, tuple)):  # a tensor would fall into one for each number
        raise ValueError(f"a {type(items).__name__} where a list should be")
    return items


BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": lambda *_: {},
    "builtins.dict": _dict,
    "builtins.set": plain_set,
    "builtins.frozenset": plain_set,
    "torch.Size": lambda *args: tuple(_elements(*args)),
    "torch.device": lambda *args: Record("torch.device", args=args),
    "_codecs.encode": _bytes,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.core.multiarray._reconstruct": lambda *_: Record(ARRAY),
    "numpy._core.multiarray._reconstruct": lambda *_: Record(ARRAY),
    "numpy.dtype": lambda *args: Record("numpy.dtype", args=args),
    "builtins.slice": lambda *args: Record("builtins.slice", args=args),
    "builtins.complex": complex,
    "torch.jit._pickle.restore_type_tag": lambda value, _: value,
    "torch.jit._pickle.build_intlist": lambda *args: list(_elements(*args)),
    "torch.jit._pickle.build_doublelist": lambda *args: list(_elements(*args)),
    "torch.jit._pickle.build_boollist": lambda *args: list(_elements(*args)),
    "torch.jit._pickle.build_tensorlist": lambda *args: list(_elements(*args)),
    # what torch.fx traced, with its source text: left out
    "torch.fx.graph_module.reduce_graph_module": lambda *_: Record("torch.fx.GraphModule"),
}
"""Functions that a pickle may want called, and what is done in their place."""
