"""The file of a store: made whole, found whole, written by one process."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import IO

from ase_symcalc.errors import StoreError

MAGIC = b"SQLite format 3\0"
HEADER = 100  # bytes

ADVICE = {
    "SQLITE_FULL": "what was written before is safe: make room, and run the same command again",
    "SQLITE_IOERR": "the disk failed, its quota is used up, or a network file system went away; "
    "what was written before is safe: run the same command again when that is mended",
    "SQLITE_BUSY": "another program holds it open; close that, and run again",
    "SQLITE_LOCKED": "another program holds it open; close that, and run again",
    "SQLITE_READONLY": "it, or its folder, may not be written",
    "SQLITE_CANTOPEN": "it, or its folder, may not be opened",
}
"""By the beginning of SQLite's name of an error."""

DAMAGED = (
    "it was damaged or cut short: keep it, and start with another --out; "
    "`sqlite3 FILE .recover` may save what is left of it"
)


def create(path: Path, schema: str) -> None:
    """Write an empty database, whole or not at all: no file without contents is one of ours.

    Raises
    ------
    StoreError
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        db = sqlite3.connect(unfinished)
        db.executescript(schema)
        db.close()
        unfinished.replace(path)
    except sqlite3.Error as error:
        raise StoreError(f"cannot write {path}: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def check_header(path: Path) -> None:
    """Look whether the file is a database at all.

    Raises
    ------
    StoreError
    """
    header = _header(path)
    if not MAGIC.startswith(header[:16]):
        raise StoreError(f"{path} is no store of a screen; choose another --out")
    if len(header) < HEADER:
        raise StoreError(_cut_short(path, HEADER))


def check_length(path: Path) -> None:
    """Compare the size with what the header says; SQLite notices when it is too late.

    To be called under a reader's lock: in the midst of a commit the two differ.

    Raises
    ------
    StoreError
    """
    header = _header(path)
    page = int.from_bytes(header[16:18], "big")
    expected = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
    if path.stat().st_size < expected:
        raise StoreError(_cut_short(path, expected))


def in_words(path: Path, error: sqlite3.DatabaseError) -> str:
    """Say what an error of SQLite means for a person."""
    name = getattr(error, "sqlite_errorname", "")
    known = [advice for start, advice in ADVICE.items() if name.startswith(start)]
    return f"{path}: {error}; {known[0] if known else DAMAGED}"


def locked(path: Path) -> IO[str]:
    """Keep other writers away while the file that is returned is open.

    A lock of the system ends with the process, however that ends. It lies on a file beside the
    database, where SQLite sets locks of its own.

    Raises
    ------
    StoreError
        If there is another writer.
    """
    try:
        import fcntl
    except ImportError as error:
        raise StoreError(
            "screens need file locks of POSIX, which this system has not; use WSL on Windows"
        ) from error
    lock = path.with_name(path.name + ".lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        who = lock.read().strip() or "another process"
        lock.close()
        raise StoreError(
            f"{path} is being written by {who}; wait for it, or give this screen a store of its "
            "own and merge them with `symcalc screen-merge`"
        ) from error
    with suppress(OSError):  # only a help for whoever is refused; a full disk has no room for it
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
    return lock


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER)


def _cut_short(path: Path, expected: int) -> str:
    return (
        f"{path} was cut short: it has {path.stat().st_size} bytes of at least {expected}. Bring "
        "it back from a copy, or start with another --out"
    )
