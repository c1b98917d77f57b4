"""What became of one structure, and the row of a table that it makes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from ase_symcalc.errors import StoreError
from ase_symcalc.potential_files.tables import read_json

STATUSES = ("done", "not_converged", "duplicate", "invalid", "failed")
"""What a result may be, best first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one structure."""

    key: str
    settings: str
    """Hash of the settings"""
    label: str
    """Where the structure came from"""
    status: str
    """One of `STATUSES`"""
    error: str | None = None
    """A sentence, where there is no result"""
    results: dict[str, Any] = field(default_factory=dict)
    """With the unit at the end of each name"""
    atoms: Atoms | None = None
    """The last structure; None if it could not be read"""


def to_row(outcome: Outcome) -> tuple[Any, ...]:
    """Values for the columns of the table of results."""
    atoms = outcome.atoms
    return (
        outcome.key,
        outcome.settings,
        _text(outcome.label),
        None if atoms is None else atoms.get_chemical_formula(),
        None if atoms is None else len(atoms),
        outcome.status,
        None if outcome.error is None else _text(outcome.error),
        json.dumps(outcome.results),
        None if atoms is None else to_text(atoms),
    )


def from_row(row: tuple[Any, ...]) -> Outcome:
    """Build the outcome of (key, settings, label, status, error, results, structure).

    Raises
    ------
    StoreError
        If it is damaged.
    """
    key, settings, label, status, error, results, structure = row
    try:
        atoms = None if structure is None else to_atoms(structure)
        found = read_json(results.encode())
        return Outcome(key, settings, label, status, error, found, atoms)
    except (ValueError, KeyError, TypeError, AttributeError) as why:
        raise StoreError(
            f"the result {key} is damaged ({why}); restore the store from a copy, or "
            "start with another one"
        ) from why


def to_text(atoms: Atoms) -> str:
    """JSON of a structure, its held atoms, and the energy, forces and stress that it carries."""
    held = [c.index.tolist() for c in atoms.constraints if isinstance(c, FixAtoms)]
    known = getattr(atoms.calc, "results", {})
    values = {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
        "held": sorted({index for some in held for index in some}),
        "known": {
            name: np.asarray(known[name]).tolist()
            for name in ("energy", "forces", "stress")
            if name in known
        },
    }
    return json.dumps(values)


def to_atoms(text: str) -> Atoms:
    """Build the structure that `to_text` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the text is something else.
    """
    values = read_json(text.encode())
    known, held = values.pop("known"), values.pop("held")
    atoms = Atoms(**values)
    if held:
        atoms.set_constraint(FixAtoms(held))
    if known:
        arrays = {k: np.array(v) if k != "energy" else v for k, v in known.items()}
        atoms.calc = SinglePointCalculator(atoms, **arrays)
    return atoms


def _text(words: str) -> str:
    """Spell out what SQLite cannot hold: file names need not be UTF-8."""
    return words.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
