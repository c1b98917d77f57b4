"""From the nested tables of a TOML or JSON file to dataclasses, every type checked."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from ase_symcalc.errors import InputError

DEEPEST = 64
"""Brackets within brackets, and parts of a dotted key, that a file of ours may have."""

# text in quotes, in which brackets mean nothing; one that is not closed ends with the file
_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_TOML_QUOTED = re.compile(
    r"""
    \#[^\n]*+
    | \"{3} (?: [^"\\]++ | \\. | "(?!"") )*+ (?: "{3,5} | \\?\Z )
    | '{3} (?: [^']++ | '(?!'') )*+ (?: '{3,5} | \Z )
    | " (?: [^"\\\n]++ | \\. )*+ "?
    | ' [^'\n]*+ '?
    """,
    re.DOTALL | re.VERBOSE,
)
_DOTTED = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{DEEPEST},}}+")

Record = TypeVar("Record")


def read_json(content: bytes) -> Any:
    """Parse JSON that is nested no deeper than a sane file is.

    Python's parser recurses in C, and a library that raises the recursion limit, as some do
    when they are imported, would let a hostile file overflow the stack.

    Raises
    ------
    ValueError
        If it is not JSON in UTF-8, or nested too deeply.
    """
    text = content.decode("utf-8")  # of a file in another encoding the brackets are not seen
    _check_depth(_QUOTED.sub("_", text), "JSON")
    return json.loads(text)


def read_toml(content: bytes) -> dict[str, Any]:
    """Parse TOML that is nested no deeper than a sane file is.

    Python's parser recurses at brackets, and takes memory by the square of the number of parts
    of a dotted key.

    Raises
    ------
    ValueError
        If it is not TOML, or nested too deeply.
    """
    text = content.decode("utf-8")
    bare = _TOML_QUOTED.sub("_", text.replace("\r\n", "\n"))
    _check_depth(bare, "TOML")
    if _DOTTED.search(bare):
        raise ValueError(f"TOML with a key of more than {DEEPEST} parts")
    return tomllib.loads(text)


def _check_depth(bare: str, kind: str) -> None:
    letters = np.frombuffer(bare.encode(), dtype=np.uint8)
    steps = np.isin(letters, list(b"[{")).astype(np.int64) - np.isin(letters, list(b"]}"))
    if steps.cumsum().max(initial=0) > DEEPEST:
        raise ValueError(f"{kind} nested more than {DEEPEST} deep")


def from_table(kind: type[Record], table: object, name: str = "") -> Record:
    """Make a dataclass of a table whose keys are its fields.

    Parameters
    ----------
    kind : type
        A dataclass with fields of type bool, int, float, str, a Literal of them, another
        such dataclass, a tuple or a mapping of them, or one of these or None.
    table : object
        What the file holds; only a mapping is right.
    name : str
        Where the table stands in the file, for messages.

    Raises
    ------
    InputError
        If a key is unknown, one without a default is missing, or a value has another type.
    """
    if not isinstance(table, Mapping):
        raise InputError(f"expected {name or 'the whole'} to be a table, got {table!r}")
    prefix = f"{name}." if name else ""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(table) - set(fields)):
        raise InputError(
            f"expected only the keys {', '.join(fields)}; got {prefix}{unknown[0]}, "
            "which has no meaning here"
        )
    for key, field in fields.items():
        absent = field.default is field.default_factory is dataclasses.MISSING
        if absent and key not in table:
            raise InputError(f"expected a key {prefix}{key}, found none")
    hints = get_type_hints(kind)
    return kind(**{key: _value(hints[key], table[key], prefix + key) for key in table})


def _value(hint: Any, value: Any, name: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_table(hint, value, name)
    if NoneType in arguments:  # a key without a value is left out of the file
        return _value(arguments[0], value, name)
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], v, f"{name}[{i}]") for i, v in enumerate(value))
    if origin is Mapping and isinstance(value, Mapping):
        return {key: _value(arguments[1], v, f"{name}.{key}") for key, v in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise InputError(f"expected {name} to be {_words(hint)}, got {value!r}")


def _words(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return " or ".join(repr(each) for each in get_args(hint))
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return words.get(hint) or {tuple: "a list", Mapping: "a table"}[origin]
