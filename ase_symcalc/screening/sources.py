"""Structures from folders, files, databases and lists of files, one at a time."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ase import Atoms
from ase.db import connect
from ase.io import iread
from ase.io.extxyz import read_xyz
from ase.io.formats import UnknownFileTypeError, filetype

from ase_symcalc.errors import InputError

COLUMNS = ("file", "path", "structure")
"""Headings of the column with files in a CSV; without one it is the first column."""

FRAMES = (".xyz", ".extxyz")

ONE_STRUCTURE = (".cif", ".vasp", ".poscar", ".gen", ".xsf")

PAGE = 200
"""Rows that are taken from a database at a time."""

LONGEST_COUNT = 1_000_000_000
"""Bytes of a file of frames that are read twice, the first time to count them."""


@dataclass(frozen=True, slots=True)
class Item:
    """A structure, and where it comes from; or why it could not be read."""

    label: str
    atoms: Atoms | None
    error: str | None = None


def read_items(inputs: Iterable[Path]) -> Iterator[Item]:
    """Read structures lazily, in order; what cannot be read is an item with an error.

    Parameters
    ----------
    inputs : iterable of Path
        Folders, whose files are read in the order of their names; ASE databases (``.db``);
        ``.csv`` with the files in the column ``file`` or in the first one, relative to the CSV;
        any other file that ASE reads, with all its images. Of a folder the names are kept in
        memory, of ``.xyz``, ``.extxyz`` and ``.db`` a few structures; what ASE does with other
        formats is its own affair.

    Raises
    ------
    InputError
        If an input does not exist. All are looked for before the first is read.
    """
    paths = [Path(path) for path in inputs]
    for path in paths:
        if not path.exists():
            raise InputError(
                f"{path} does not exist; expected a folder, a file with structures, an ASE "
                "database (.db) or a list of files (.csv)"
            )
    return _read(paths)


def expected_count(inputs: Iterable[Path]) -> int | None:
    """How many structures there are, where that can be told quickly."""
    total = 0
    for path in inputs:
        files = [path] if path.suffix == ".db" or path.suffix in FRAMES else _files(path)
        for file in files:
            count = _count(file)
            if count is None:
                return None
            total += count
    return total


def _read(paths: list[Path]) -> Iterator[Item]:
    for path in paths:
        for file in _files(path):
            if file.suffix == ".db":
                yield from _database(file)
            elif file.suffix in FRAMES:
                yield from _frames(file)
            else:
                yield from _images(file)


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for name in sorted(os.listdir(path)):
            if not name.startswith(".") and (file := path / name).is_file():
                yield file
    elif path.suffix == ".csv":
        yield from _listed(path)
    else:
        yield path


def _listed(path: Path) -> Iterator[Path]:
    # names need not be UTF-8, here as in folders
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
        rows = (row for row in csv.reader(lines) if row)
        try:
            first = next(rows, [])
            headings = [word.strip().lower() for word in first]
            named = [headings.index(word) for word in COLUMNS if word in headings]
            column = named[0] if named else 0
            if first and not named:
                yield path.parent / first[0].strip()
            for row in rows:
                if len(row) > column:
                    yield path.parent / row[column].strip()
        except csv.Error as error:
            raise InputError(f"{path} is no list of files ({error})") from error


def _images(path: Path) -> Iterator[Item]:
    index = 0
    try:
        for atoms in iread(str(path), ":", do_not_split_by_at_sign=True):
            yield Item(f"{path}:{index}", atoms.copy())
            index += 1
    except UnknownFileTypeError:
        yield Item(f"{path}:{index}", None, f"ASE does not know the format of {path}")
    except Exception as error:  # every reader of ASE fails in its own way
        yield _unread(path, index, error)


def _frames(path: Path) -> Iterator[Item]:
    """Read a file of frames; ASE alone would look for the beginnings of all of them first."""
    index = 0
    try:
        with path.open(encoding="utf-8", errors="backslashreplace") as lines:
            for text in _texts(lines):
                try:
                    yield Item(f"{path}:{index}", next(read_xyz(io.StringIO(text), 0)).copy())
                except Exception as error:  # of this frame
                    yield _unread(path, index, error)
                index += 1
    except Exception as error:  # where the next frame begins is not known
        yield _unread(path, index, error)


def _texts(lines: Iterator[str]) -> Iterator[str]:
    line = next(lines, "")
    while line.strip():
        text = [line, *islice(lines, int(line) + 1)]
        line = next(lines, "")
        while line.lstrip().startswith("VEC"):
            text.append(line)
            line = next(lines, "")
        yield "".join(text)


def _database(path: Path) -> Iterator[Item]:
    last = 0
    try:
        database = connect(str(path))
        while rows := list(database.select(f"id>{last}", sort="id", limit=PAGE)):
            for row in rows:
                last = row.id
                try:
                    yield Item(f"{path}:{last}", row.toatoms().copy())
                except Exception as error:  # of this row
                    yield _unread(path, last, error)
    except Exception as error:  # sqlite3's, json's, KeyError: what a damaged file brings
        why = " ".join(f"{type(error).__name__}: {error}".split())
        yield Item(f"{path}:", None, f"{path} could not be read as an ASE database ({why})")


def _unread(path: Path, index: int, error: Exception) -> Item:
    why = " ".join(f"{type(error).__name__}: {error}".split())
    sentence = f"ASE could not read {path} from image {index} ({why})"
    return Item(f"{path}:{index}", None, sentence)


def _count(path: Path) -> int | None:
    if not path.is_file():
        return 1  # an item with an error
    try:
        if path.suffix == ".db":
            return connect(str(path)).count()
        if path.suffix in FRAMES:
            return _n_frames(path) if path.stat().st_size < LONGEST_COUNT else None
        if path.suffix.lower() in ONE_STRUCTURE or filetype(path.name, read=False) == "vasp":
            return 1
    except Exception:  # the reader will say what is wrong
        return None
    return None


def _n_frames(path: Path) -> int:
    with path.open(encoding="utf-8", errors="backslashreplace") as lines:
        return sum(1 for _ in _texts(lines))
