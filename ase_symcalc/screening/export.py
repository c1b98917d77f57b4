"""A store as files for other programs."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ase.db import connect
from ase.io.extxyz import write_xyz

from ase_symcalc.errors import InputError
from ase_symcalc.screening.outcomes import Outcome
from ase_symcalc.screening.store import Store

ROWS = 10_000
"""Of a Parquet file that are written together."""

FIRST = ("label", "key", "settings", "formula", "n_atoms", "status", "error")


def export(store: Store, path: str | Path, *, status: str | None = None) -> int:
    """Write results; returns how many.

    Parameters
    ----------
    store : Store
    path : Path
        ``.csv`` and ``.parquet`` are tables, one row for each structure; ``.extxyz`` and
        ``.db`` (of ASE) hold the structures, energies and forces, and what else was computed
        that is a number or a word. Written whole or not at all.
    status : str, optional
        Only results of this status.

    Raises
    ------
    InputError
        If the ending says no format, the file exists, or Parquet is asked for without
        pyarrow.
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise InputError(f"expected a file ending in one of {', '.join(WRITERS)}; got {path}")
    if path.exists():
        raise InputError(f"{path} exists, and is not overwritten; choose another name")
    unfinished = path.with_name(f".{path.stem}-unfinished{path.suffix}")
    unfinished.unlink(missing_ok=True)
    try:
        count = WRITERS[path.suffix](store, status, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _columns(store: Store, status: str | None) -> dict[str, set[type]]:
    """Names of the columns, and types of the numbers and words in them."""
    known: dict[str, set[type]] = {name: {str} for name in FIRST}
    known["n_atoms"] = {int}
    found: dict[str, set[type]] = {}
    for outcome in store.outcomes(status):
        for name, value in _scalars(outcome).items():
            found.setdefault(name, set()).add(type(value))
    return known | dict(sorted(found.items()))


def _scalars(outcome: Outcome) -> dict[str, Any]:
    return {k: v for k, v in outcome.results.items() if isinstance(v, int | float | str)}


def _rows(store: Store, status: str | None) -> Iterator[dict[str, Any]]:
    for outcome in store.outcomes(status):
        atoms = outcome.atoms
        yield {
            "label": outcome.label,
            "key": outcome.key,
            "settings": outcome.settings,
            "formula": None if atoms is None else atoms.get_chemical_formula(),
            "n_atoms": None if atoms is None else len(atoms),
            "status": outcome.status,
            "error": outcome.error,
            **_scalars(outcome),
        }


def _csv(store: Store, status: str | None, path: Path) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, _columns(store, status))
        table.writeheader()
        for count, row in enumerate(_rows(store, status), start=1):  # noqa: B007
            table.writerow(row)
    return count


def _parquet(store: Store, status: str | None, path: Path) -> int:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise InputError(
            "Parquet needs pyarrow: python -m pip install 'ase-symcalc[parquet]'"
        ) from error
    names = {frozenset({int}): "int64", frozenset({str}): "string", frozenset({bool}): "bool"}
    columns = {
        # whole numbers and others are numbers together; words with anything are words
        name: names.get(frozenset(types), "string" if str in types else "double")
        for name, types in _columns(store, status).items()
    }
    schema = pyarrow.schema(
        [(name, pyarrow.type_for_alias(kind)) for name, kind in columns.items()]
    )
    words = [name for name, kind in columns.items() if kind == "string"]
    count = 0
    rows = _rows(store, status)
    with ParquetWriter(path, schema) as writer:
        while some := list(islice(rows, ROWS)):
            for row in some:
                row |= {name: str(row[name]) for name in words if row.get(name) is not None}
            writer.write_table(pyarrow.Table.from_pylist(some, schema))
            count += len(some)
    return count


def _extxyz(store: Store, status: str | None, path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for outcome in store.outcomes(status):
            if outcome.atoms is not None:
                known = _scalars(outcome)
                known.pop("energy_eV", None)  # the energy is there under its own name
                outcome.atoms.info = {"label": outcome.label, "status": outcome.status, **known}
                write_xyz(file, [outcome.atoms])
                count += 1
    return count


def _database(store: Store, status: str | None, path: Path) -> int:
    count = 0
    with connect(str(path), use_lock_file=False) as database:
        for outcome in store.outcomes(status):
            if outcome.atoms is not None:
                data = {"label": outcome.label, "results": outcome.results, "error": outcome.error}
                database.write(outcome.atoms, status=outcome.status, data=data, **_values(outcome))
                count += 1
    return count


def _values(outcome: Outcome) -> dict[str, int | float]:
    """Numbers one can select by; words of any kind are in the data."""
    return {k: v for k, v in _scalars(outcome).items() if isinstance(v, int | float)}


WRITERS: dict[str, Callable[[Store, str | None, Path], int]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".extxyz": _extxyz,
    ".db": _database,
}
