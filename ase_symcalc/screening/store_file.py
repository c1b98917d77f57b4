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


def check_whole(path: Path) -> None:
    """Compare the size with what the header says; SQLite notices when it is too late.

    Raises
    ------
    StoreError
    """
    with path.open("rb") as file:
        header = file.read(100)
    if not MAGIC.startswith(header[:16]) and header[:16] != MAGIC:
        raise StoreError(f"{path} is no store of a screen; choose another --out")
    page = int.from_bytes(header[16:18], "big")
    expected = int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)
    size = path.stat().st_size
    if len(header) < 100 or size < expected:
        raise StoreError(
            f"{path} was cut short: it has {size} bytes of {expected or 'at least 100'}. Bring it "
            "back from a copy, or start with another --out"
        )


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
