"""Structures from folders, files, databases and lists of files, one at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms
from ase.db import connect
from ase.io import iread
from ase.io.formats import UnknownFileTypeError, filetype

from ase_symcalc.errors import InputError

COLUMNS = ("file", "path", "structure")
"""Headings of the column with files in a CSV; without one it is the first column."""

FRAMES = (".xyz", ".extxyz")

ONE_STRUCTURE = (".cif", ".vasp", ".poscar", ".gen", ".xsf")


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
        any other file that ASE reads, with all its images.

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
    """How many structures there are, where that can be told without reading them all."""
    total = 0
    for path in inputs:
        files = [path] if path.suffix == ".db" or path.suffix in FRAMES else list(_files(path))
        for file in files:
            count = _count(file)
            if count is None:
                return None
            total += count
    return total


def _read(paths: list[Path]) -> Iterator[Item]:
    for path in paths:
        for file in _files(path):
            yield from _database(file) if file.suffix == ".db" else _images(file)


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                yield file
    elif path.suffix == ".csv":
        yield from _listed(path)
    else:
        yield path


def _listed(path: Path) -> Iterator[Path]:
    with path.open(newline="", encoding="utf-8") as lines:
        rows = (row for row in csv.reader(lines) if row)
        first = next(rows, [])
        headings = [word.strip().lower() for word in first]
        named = [headings.index(word) for word in COLUMNS if word in headings]
        column = named[0] if named else 0
        if first and not named:
            yield path.parent / first[0].strip()
        for row in rows:
            if len(row) > column:
                yield path.parent / row[column].strip()


def _images(path: Path) -> Iterator[Item]:
    index = 0
    try:
        for atoms in iread(str(path), ":", do_not_split_by_at_sign=True):
            yield Item(f"{path}:{index}", atoms.copy())
            index += 1
    except UnknownFileTypeError:
        yield Item(f"{path}:{index}", None, f"ASE does not know the format of {path}")
    except Exception as error:  # every reader of ASE fails in its own way
        why = " ".join(f"{type(error).__name__}: {error}".split())
        yield Item(f"{path}:{index}", None, f"ASE could not read {path} from image {index} ({why})")


def _database(path: Path) -> Iterator[Item]:
    try:
        for row in connect(str(path)).select():
            yield Item(f"{path}:{row.id}", row.toatoms().copy())
    except Exception as error:  # sqlite3's, json's, KeyError: what a damaged file brings
        why = " ".join(f"{type(error).__name__}: {error}".split())
        yield Item(f"{path}:", None, f"{path} could not be read as an ASE database ({why})")


def _count(path: Path) -> int | None:
    if not path.is_file():
        return 1  # an item with an error
    try:
        if path.suffix == ".db":
            return connect(str(path)).count()
        if path.suffix in FRAMES:
            return _frames(path)
        if path.suffix.lower() in ONE_STRUCTURE or filetype(path.name, read=False) == "vasp":
            return 1
    except Exception:  # the reader will say what is wrong
        return None
    return None


def _frames(path: Path) -> int:
    count = 0
    with path.open("rb") as lines:
        for line in lines:
            if not line.strip():
                break
            for _ in range(int(line) + 1):
                next(lines)
            count += 1
    return count
