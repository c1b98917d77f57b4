"""The results of a screen: one SQLite file, one writer, nothing done twice."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from ase_symcalc.errors import StoreError
from ase_symcalc.screening.store_file import check_whole, create, locked

FORMAT = 1
QUICK = 200_000_000  # bytes up to which the whole file is looked through when it is opened
PATIENCE = 60.0  # seconds to wait for a reader

SCHEMA = f"""
create table meta (name text primary key, value text not null);
insert into meta values ('what', 'ase_symcalc screen'), ('format', '{FORMAT}');
create table settings (hash text primary key, text text not null);
create table results (
    key text primary key, settings text not null, label text not null, formula text,
    n_atoms integer, status text not null, error text, results text not null, structure text
);
create index by_status on results (status);
"""

UPSERT = """
insert into results values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (key) do update set settings = excluded.settings, label = excluded.label,
    formula = excluded.formula, n_atoms = excluded.n_atoms, status = excluded.status,
    error = excluded.error, results = excluded.results, structure = excluded.structure
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one structure."""

    key: str
    settings: str
    """Hash of the settings"""
    label: str
    """Where the structure came from"""
    status: str
    """done, not_converged, failed or invalid"""
    error: str | None = None
    """A sentence, where it failed"""
    results: dict[str, Any] = field(default_factory=dict)
    """With the unit at the end of each name"""
    atoms: Atoms | None = None
    """The last structure; None if it could not be read"""


class Store:
    """Results in one file. One process writes; any number may read meanwhile.

    Parameters
    ----------
    path : Path
    write : bool
        Make the file if there is none, and keep other writers away until `close`. The lock
        lies in a file beside it and ends with the process, however that ends.

    Raises
    ------
    StoreError
        If another process writes it, or the file is damaged, cut short or something else.
    OSError
        If the folder cannot be written.
    """

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.path = Path(path)
        self._lock = locked(self.path) if write else None
        try:
            if not self.path.exists():
                if not write:
                    raise StoreError(f"there is no store {path}; `symcalc screen` makes one")
                create(self.path, SCHEMA)
            check_whole(self.path)
            with self._in_words():
                self._db = sqlite3.connect(self.path, timeout=PATIENCE)
                self._check_ours()
        except BaseException:
            self._unlock()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write."""
        self._db.close()
        self._unlock()

    def status_of(self, key: str) -> str | None:
        """Return the status of a result, None if there is none."""
        with self._in_words():
            row = self._db.execute("select status from results where key = ?", [key]).fetchone()
            return None if row is None else str(row[0])

    def put(self, outcomes: Sequence[Outcome]) -> None:
        """Write results, all or none, in place of those with the same key.

        Raises
        ------
        StoreError
            If the disk is full, say; what was written before is safe.
        """
        rows = [_row(each) for each in outcomes]
        with self._in_words(), self._db:
            self._db.executemany(UPSERT, rows)

    def put_settings(self, digest: str, text: str) -> None:
        """Keep what a hash of settings stands for."""
        with self._in_words(), self._db:
            self._db.execute("insert or ignore into settings values (?, ?)", [digest, text])

    def settings(self) -> dict[str, dict[str, Any]]:
        """By their hash."""
        with self._in_words():
            rows = self._db.execute("select hash, text from settings order by hash")
            return {digest: json.loads(text) for digest, text in rows}

    def counts(self) -> dict[tuple[str, str], int]:
        """How many results there are, by settings and status."""
        question = "select settings, status, count(*) from results group by settings, status"
        with self._in_words():
            return {(s, status): n for s, status, n in self._db.execute(question)}

    def outcomes(self, status: str | None = None) -> Iterator[Outcome]:
        """Every result, or those of one status, in the order of their labels."""
        question = (
            "select key, settings, label, status, error, results, structure from results "
            "where ?1 is null or status = ?1 order by label, key"
        )
        with self._in_words():
            for row in self._db.execute(question, [status]):
                key, settings, label, end, error, results, structure = row
                found = json.loads(results), _atoms(structure)
                yield Outcome(key, settings, label, end, error, *found)

    def merge(self, other: Store) -> int:
        """Take over results; one that is done gives way to none that is not. Returns how many."""
        taken = 0
        for digest, settings in other.settings().items():
            self.put_settings(digest, json.dumps(settings, sort_keys=True))
        batch: list[Outcome] = []
        for outcome in other.outcomes():
            if self.status_of(outcome.key) != "done" or outcome.status == "done":
                batch.append(outcome)
            if len(batch) == 1000:
                self.put(batch)
                taken, batch = taken + len(batch), []
        self.put(batch)
        return taken + len(batch)

    def _check_ours(self) -> None:
        tables = {name for (name,) in self._db.execute("select name from sqlite_master")}
        rows = self._db.execute("select name, value from meta") if "meta" in tables else ()
        meta = dict(rows)
        if meta.get("what") != "ase_symcalc screen":
            raise StoreError(f"{self.path} is a database of something else; choose another --out")
        if meta["format"] != str(FORMAT):
            raise StoreError(
                f"{self.path} has format {meta['format']}; this version reads {FORMAT}"
            )
        if self.path.stat().st_size < QUICK:
            (verdict,) = self._db.execute("pragma quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "full" in str(error):
                advice = (
                    "what was written before is safe: make room, and run the same command again"
                )
            elif "locked" in str(error):
                advice = "another program holds it open; close that, and run again"
            else:
                advice = (
                    "it was damaged or cut short: keep it, and start with another --out; "
                    "`sqlite3 FILE .recover` may save what is left of it"
                )
            raise StoreError(f"{self.path}: {error}; {advice}") from error

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _row(outcome: Outcome) -> tuple[Any, ...]:
    atoms = outcome.atoms
    formula = None if atoms is None else atoms.get_chemical_formula()
    return (
        outcome.key,
        outcome.settings,
        outcome.label,
        formula,
        None if atoms is None else len(atoms),
        outcome.status,
        outcome.error,
        json.dumps(outcome.results),
        None if atoms is None else json.dumps(_plain(atoms)),
    )


def _plain(atoms: Atoms) -> dict[str, Any]:
    held = [c.index.tolist() for c in atoms.constraints if isinstance(c, FixAtoms)]
    known = getattr(atoms.calc, "results", {})
    return {
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


def _atoms(text: str | None) -> Atoms | None:
    if text is None:
        return None
    values = json.loads(text)
    known, held = values.pop("known"), values.pop("held")
    atoms = Atoms(**values)
    if held:
        atoms.set_constraint(FixAtoms(held))
    if known:
        arrays = {k: np.array(v) if k != "energy" else v for k, v in known.items()}
        atoms.calc = SinglePointCalculator(atoms, **arrays)
    return atoms
