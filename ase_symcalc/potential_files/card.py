"""The card of a potential: what a user must know before trusting it."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from html import escape
from pathlib import Path
from typing import Any, Literal

from ase.data import atomic_numbers

from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.potential_files.tables import from_table, read_toml

SCHEMA = 2
WITHOUT_HEADS = 1  # what older versions of this package can read
CARD = "card.toml"


@dataclass(frozen=True, slots=True)
class AccuracyRow:
    """Mean absolute errors on data that the potential was not trained on."""

    dataset: str
    energy: float
    """meV/atom"""
    forces: float
    """meV/Å, of a component"""
    stress: float | None = None
    """GPa, of a component; None if the data have no stress"""
    head: str | None = None
    """whose errors these are, if the potential has heads"""

    def __post_init__(self) -> None:
        for name in ("energy", "forces", "stress"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(
                    f"expected the {name} error on {self.dataset} to be at least 0, got {value}"
                )


@dataclass(frozen=True, slots=True)
class Head:
    """What the card says of one level of theory, if the potential has several."""

    name: str
    """what follows the ``@``"""
    level_of_theory: str
    training_data: str
    pairs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class References:
    """What to cite."""

    implementation: str
    architecture: str
    model: str
    """the training itself and its data"""


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """How a potential came about, and what it costs."""

    seed: int
    epochs: int
    minutes: float
    """of wall time, all sittings"""
    machine: str
    data_sha256: str
    """of the files and the slices taken of them"""
    microseconds_per_atom: float
    """of energy, forces and stress on that machine, without use of symmetry, in `dtype`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PotentialCard:
    """What a user must know before trusting a potential; stored as ``card.toml``.

    Raises
    ------
    InputError
        If a field contradicts what its line below says, or another field.
    """

    name: str
    """lower-case letters, digits, and . _ - between them"""
    version: str
    schema: int = WITHOUT_HEADS
    """of the files; a newer one than this package knows is refused"""
    description: str
    default: bool = False
    """what `SymCalc()` takes"""
    preview: bool = False
    """shown for what it is: a later version will be better"""
    elements: tuple[str, ...]
    """chemical symbols, by atomic number"""
    pairs: tuple[str, ...]
    """pairs of elements that met in the training data, as "Si-O" in the order of `elements`"""
    cutoff: float
    """Å"""
    interaction_range: float
    """Å, beyond which nothing changes an atom's energy"""
    dtype: Literal["float32", "float64"]
    """of the stored weights"""
    level_of_theory: str
    training_data: str
    """name, size, licence, where from"""
    accuracy: tuple[AccuracyRow, ...]
    limits: str
    """where its training data end: temperatures, pressures, phases"""
    not_for: str
    """known failures"""
    licence: str
    authors: tuple[str, ...]
    reproduce: str
    """command that makes it again"""
    references: References
    heads: tuple[Head, ...] = ()
    """levels of theory that share one body, each used by its name behind an ``@``; else none"""
    default_head: str | None = None
    """which is meant where none is named"""
    training: TrainingRecord | None = None
    """None for what was trained elsewhere"""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """of each file by its name; filled in when the potential is saved"""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not WITHOUT_HEADS <= self.schema <= SCHEMA:
            raise InputError(f"expected schema {WITHOUT_HEADS} to {SCHEMA}, got {self.schema}")
        _check_elements(self.elements, self.pairs)
        _check_heads(self)
        if not 0 < self.cutoff <= self.interaction_range < math.inf:
            raise InputError(
                "expected 0 < cutoff <= interaction_range; "
                f"got {self.cutoff} Å and {self.interaction_range} Å"
            )
        for name, digest in self.sha256.items():
            if name != Path(name).name or name in {CARD, "..", ""}:
                raise InputError(f"expected sha256 to name files beside the card, got {name!r}")
            if not re.fullmatch("[0-9a-f]{64}", digest):
                raise InputError(
                    f"expected sha256 of {name} to be 64 hexadecimal digits, got {digest!r}"
                )

    def _repr_html_(self) -> str:
        """Show what matters most, in a notebook."""
        facts = {
            "potential": f"{self.name} {self.version}{', a preview' if self.preview else ''}",
            "elements": " ".join(self.elements),
            "pairs trained on": " ".join(self.pairs) or "not known",
            "level of theory": self.level_of_theory,
            "cutoff": f"{self.cutoff:g} Å",
            "limits": self.limits,
            "not for": self.not_for,
        }
        rows = "".join(
            f"<tr><th>{name}</th><td style='text-align: left'>{escape(fact)}</td></tr>"
            for name, fact in facts.items()
        )
        return f"<table>{rows}</table>"


def card_of_head(card: PotentialCard, name: str) -> PotentialCard:
    """Card of one head, as if it were a potential by itself."""
    (head,) = (head for head in card.heads if head.name == name)
    return replace(
        card,
        name=f"{card.name}-{name.lower()}",
        description=f"{card.description} (head {name})",
        level_of_theory=head.level_of_theory,
        training_data=head.training_data,
        pairs=head.pairs,
        accuracy=tuple(
            replace(row, head=None) for row in card.accuracy if row.head in (None, name)
        ),
        heads=(),
        default_head=None,
    )


def read_card(folder: str | os.PathLike[str]) -> PotentialCard:
    """Read the card of a potential and check every field; its files are not looked at.

    Raises
    ------
    PotentialFileError
        If there is no card, it is not TOML, it is of a newer schema, or a field is missing,
        unknown, of the wrong type or without meaning.
    """
    path = Path(folder) / CARD
    try:
        table = read_toml(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PotentialFileError(
            f"expected a potential in {path.parent}, found no {CARD} there. A potential is a "
            f"folder with {CARD}, config.json, weights.safetensors and golden.json."
        ) from error
    except (OSError, ValueError) as error:
        raise PotentialFileError(
            f"expected {path} to be readable TOML, got: {error}. "
            "Fetch the potential again from where it came."
        ) from error
    schema = table.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise PotentialFileError(
            f"{path}: expected schema {SCHEMA} or older, got {schema}. The potential was "
            "written by a newer version; update with `pip install --upgrade ase-symcalc`."
        )
    try:  # the default of schema is for cards being made, not read
        return from_table(PotentialCard, {"schema": None, **table})
    except InputError as error:
        raise PotentialFileError(f"{path}: {error}. Correct the card.") from error


def write_card(folder: str | os.PathLike[str], card: PotentialCard) -> None:
    """Write ``card.toml`` into a folder that exists."""
    lines: list[str] = []
    tables: list[str] = []
    for name in (f.name for f in fields(card)):
        value = getattr(card, name)
        if name == "accuracy" and value:
            for row in value:
                tables += ["", "[[accuracy]]  # MAE: meV/atom, meV/Å, GPa", *_lines(row)]
        elif name == "heads":
            for head in value:
                tables += ["", "[[heads]]", *_lines(head)]
        elif name in ("references", "training") and value:
            tables += ["", f"[{name}]", *_lines(value)]
        elif name == "sha256":
            tables += ["", "[sha256]"]
            tables += [f"{_toml(file)} = {_toml(digest)}" for file, digest in value.items()]
        elif value is not None:
            unit = "  # Å" if name in {"cutoff", "interaction_range"} else ""
            lines.append(f"{name} = {_toml(value)}{unit}")
    path = Path(folder) / CARD
    path.write_text("\n".join([*lines, *tables]) + "\n", encoding="utf-8", newline="\n")


def _lines(record: AccuracyRow | Head | References | TrainingRecord) -> list[str]:
    named = ((f.name, getattr(record, f.name)) for f in fields(record))
    return [f"{name} = {_toml(value)}" for name, value in named if value is not None]


def _toml(value: Any) -> str:
    """One value as TOML writes it, which is as JSON does but for the delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _check_name(name: str) -> None:
    if name == "default" or not re.fullmatch("[a-z0-9]+([._-][a-z0-9]+)*", name):
        raise InputError(
            "expected name to be lower-case letters and digits, with single . _ or - between "
            f"them, and not 'default'; got {name!r}"
        )


def _check_elements(elements: tuple[str, ...], pairs: tuple[str, ...]) -> None:
    numbers = [atomic_numbers.get(symbol, 0) for symbol in elements]
    if not elements or 0 in numbers or numbers != sorted(set(numbers)):
        raise InputError(
            "expected elements to be chemical symbols by atomic number, each once; "
            f"got {', '.join(elements) or 'none'}"
        )
    possible = {f"{a}-{b}" for i, a in enumerate(elements) for b in elements[i:]}
    if strange := sorted(set(pairs) - possible):
        raise InputError(
            "expected pairs of two of the elements, the one of the lower atomic number first; "
            f"got {strange[0]!r}"
        )


def _check_heads(card: PotentialCard) -> None:
    names = [head.name for head in card.heads]
    if len(set(names)) != len(names):
        raise InputError(f"expected heads to be named once each, got {', '.join(names)}")
    used = {row.head for row in card.accuracy} | {card.default_head}
    if strange := sorted(name for name in used if name is not None and name not in names):
        raise InputError(
            f"expected default_head and accuracy.head to name heads "
            f"({', '.join(names) or 'there are none'}), got {strange[0]!r}"
        )
    if names and card.schema == WITHOUT_HEADS:
        raise InputError(f"expected schema {SCHEMA} of a card with heads, got {card.schema}")
    for head in card.heads:
        _check_elements(card.elements, head.pairs)
