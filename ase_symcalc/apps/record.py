"""What a command did, as plain data: enough to do it again, and to know how far to trust it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ase_symcalc import __version__
from ase_symcalc.apps.relax import space_group
from ase_symcalc.calculator import SymCalc
from ase_symcalc.evaluation import unseen_in_words
from ase_symcalc.potential_files import Potential

LIBRARIES = ("ase", "e3nn", "matscipy", "numpy", "phonopy", "scipy", "seekpath", "spglib", "torch")

FROM_THE_CARD = (
    "name",
    "version",
    "description",
    "preview",
    "level_of_theory",
    "limits",
    "not_for",
    "licence",
)


def make_record(
    command: str,
    *,
    atoms: Atoms,
    settings: dict[str, Any],
    results: dict[str, Any],
    calculator: Any,
) -> dict[str, Any]:
    """Put together what is written as JSON; the same run gives the same record.

    Parameters
    ----------
    command : str
        Its name, as "relax".
    atoms : Atoms
        The structure that was given.
    settings, results : dict
        By name, with the unit at its end: ``"energy_eV"``. Arrays become lists, and what is
        not finite becomes None.
    calculator : ase.calculators.calculator.Calculator
        After it has calculated: what it met is in the warnings.

    Returns
    -------
    dict
        With the keys command, structure, settings, results, warnings, potential,
        last_evaluation and versions; nothing in it but what JSON has.

    Raises
    ------
    TypeError
        If a value has no counterpart in JSON.
    """
    return _plain(
        {
            "command": command,
            "structure": _structure(atoms),
            "settings": settings,
            "results": results,
            "warnings": warnings_about(atoms, calculator),
            "potential": _potential(calculator),
            "last_evaluation": _evaluated(calculator),
            "versions": _versions(),
        }
    )


def write_json(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a record whole or not at all; what is not finite becomes null.

    Raises
    ------
    OSError
        As `write_whole`.
    """
    text = json.dumps(_plain(record), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(path, text + "\n")


def write_whole(path: str | Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; a file of that name is then as it was.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(path)
    except OSError as error:  # of which the name that was asked for says more
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def warnings_about(atoms: Atoms, calculator: Any) -> list[str]:
    """Sentences that a reader of any result from this calculator must see."""
    if not isinstance(calculator, SymCalc):
        return []
    cards = [potential.card for potential in calculator.potentials]
    sentences = [
        f"{card.name} {card.version} is a preview, for trying out and not for production. It is "
        f"not for: {card.not_for}"
        for card in cards
        if card.preview
    ]
    here = set(atoms.symbols)
    met = [pair for pair in calculator.unseen_pairs if here.issuperset(pair.split("-"))]
    return sentences + [unseen_in_words(pair, cards) for pair in met]


def _structure(atoms: Atoms) -> dict[str, Any]:
    return {
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "cell_angstrom": atoms.cell.array,
        "pbc": atoms.pbc,
        "space_group": space_group(atoms),
        "sha256": structure_digest(atoms),
    }


def structure_digest(atoms: Atoms) -> str:
    """SHA-256 of species, positions, cell and periodicity, the same on every machine."""
    content = hashlib.sha256()
    for values, kind in (
        (atoms.numbers, "<i8"),
        (atoms.positions, "<f8"),
        (atoms.cell.array, "<f8"),
        (atoms.pbc, "<i8"),
    ):
        content.update(np.ascontiguousarray(values, dtype=kind).tobytes())
    return content.hexdigest()


def _potential(calculator: Any) -> dict[str, Any]:
    if not isinstance(calculator, SymCalc):
        return {"name": type(calculator).__name__}
    members = [_member(potential) for potential in calculator.potentials]
    return members[0] if len(members) == 1 else {"name": "committee", "members": members}


def _member(potential: Potential) -> dict[str, Any]:
    """Say what must be known of a potential, to find it again and to judge it."""
    card = potential.card
    return {name: getattr(card, name) for name in FROM_THE_CARD} | {
        "cite": card.references.model,
        "sha256": potential.digest,
    }


def _evaluated(calculator: Any) -> dict[str, Any] | None:
    """How far symmetry spared work in the last calculation."""
    last = getattr(calculator, "evaluation", None)
    if last is None:
        return None
    return {name: getattr(last, name) for name in ("n_atoms", "n_orbits", "n_operations")}


def _versions() -> dict[str, str]:
    """Of the libraries that took part."""
    used = {name: version(name) for name in LIBRARIES if name in sys.modules}
    return {"ase_symcalc": __version__, "python": platform.python_version(), **used}


def _plain(value: Any) -> Any:
    """Only what JSON has."""
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | bool | int):
        return value
    raise TypeError(f"expected numbers, words, lists and dicts, got a {type(value).__name__}")
