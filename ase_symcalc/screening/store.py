"""The results of a screen: one SQLite file, one writer, nothing done twice."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ase_symcalc.errors import StoreError
from ase_symcalc.potential_files.tables import read_json
from ase_symcalc.screening.outcomes import STATUSES, Outcome, from_row, to_row
from ase_symcalc.screening.store_file import check_header, check_length, create, in_words, locked

FORMAT = 2
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
create index by_status on results (settings, status);
create index by_label on results (label, key);
create table firsts (
    settings text not null, formula text not null, place real not null, others text not null,
    key text not null, label text not null, structure text not null,
    primary key (settings, formula, place, key)
) without rowid;
"""

UPSERT = """
insert into results values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (key) do update set settings = excluded.settings, label = excluded.label,
    formula = excluded.formula, n_atoms = excluded.n_atoms, status = excluded.status,
    error = excluded.error, results = excluded.results, structure = excluded.structure
"""


First = tuple[float, str, str, str, str]
"""Place, other places as JSON, key, label, structure: of one that may have duplicates"""


class Store:
    """Results in one file. One process writes; any number may read meanwhile.

    Parameters
    ----------
    path : str or Path
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

    def __init__(self, path: str | Path, *, write: bool = False) -> None:
        self.path = Path(path)
        self._lock = locked(self.path) if write else None
        try:
            if not self.path.exists():
                if not write:
                    raise StoreError(f"there is no store {path}; `symcalc screen` makes one")
                create(self.path, SCHEMA)
            check_header(self.path)
            self._db = sqlite3.connect(self.path, timeout=PATIENCE)
            try:
                with self._in_words():
                    self._check_ours()
            except BaseException:
                self._db.close()
                raise
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
        rows = [to_row(each) for each in outcomes]
        with self._in_words(), self._db:
            self._db.executemany(UPSERT, rows)

    def firsts(self, settings: str, formula: str, around: tuple[float, float]) -> list[First]:
        """Structures that came first of their kind, and lie between two places."""
        question = (
            "select place, others, key, label, structure from firsts "
            "where settings = ? and formula = ? and place between ? and ?"
        )
        with self._in_words():
            return self._db.execute(question, [settings, formula, *around]).fetchall()

    def put_first(self, settings: str, formula: str, first: First) -> None:
        """Remember a structure; written with the next results."""
        with self._in_words():
            values = [settings, formula, *first]
            self._db.execute("insert or replace into firsts values (?, ?, ?, ?, ?, ?, ?)", values)

    def forget_first(self, key: str, settings: str, formula: str, place: float) -> None:
        """Forget a structure that is not in the input any more."""
        with self._in_words():
            question = "delete from firsts where settings=? and formula=? and place=? and key=?"
            self._db.execute(question, [settings, formula, place, key])

    def put_settings(self, digest: str, text: str) -> None:
        """Keep what a hash of settings stands for."""
        with self._in_words(), self._db:
            self._db.execute("insert or ignore into settings values (?, ?)", [digest, text])

    def settings(self) -> dict[str, dict[str, Any]]:
        """By their hash."""
        with self._in_words():
            rows = self._db.execute("select hash, text from settings order by hash")
            return {digest: read_json(text.encode()) for digest, text in rows}

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
                yield from_row(row)

    def merge(self, other: Store) -> int:
        """Take over results that are no worse, as `STATUSES` says. Returns how many."""
        taken = 0
        for digest, settings in other.settings().items():
            self.put_settings(digest, json.dumps(settings, sort_keys=True))
        batch: list[Outcome] = []
        for outcome in other.outcomes():
            mine = self.status_of(outcome.key)
            if mine is None or STATUSES.index(outcome.status) <= STATUSES.index(mine):
                batch.append(outcome)
            if len(batch) == 1000:
                self.put(batch)
                taken, batch = taken + len(batch), []
        self.put(batch)
        return taken + len(batch)

    def _check_ours(self) -> None:
        # the lock of a reader: what a killed writer had begun is undone first, and no other
        # writes while the length is looked at
        self._db.execute("begin")
        tables = {name for (name,) in self._db.execute("select name from sqlite_master")}
        check_length(self.path)
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
        self._db.rollback()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(in_words(self.path, error)) from error

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
