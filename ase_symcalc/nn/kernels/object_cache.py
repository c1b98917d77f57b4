"""Machine code kept on disk, so that a kernel is compiled once and not in every process.

A file here is executed by whoever finds it. What is trusted is what the user can write: a folder
or file that somebody else owns or may write to is not used. Neither is a file whose SHA-256, which
stands before its code, is not that of its name and code: this finds damage and mix-ups, not what
the user's own programs forge. Windows tells owners in another way; there the access lists of the
user's folders are relied on.

Nothing here fails: without a folder that can be read or written, kernels are compiled.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import stat
import sys
import tempfile
from pathlib import Path

ENVIRONMENT = "ASE_SYMCALC_CACHE"
LARGEST = 1 << 25
"""Bytes of all files together; those unused for longest are deleted when it is more."""
_SUFFIX = ".kernel"
_DIGEST = hashlib.sha256().digest_size

logger = logging.getLogger(__name__)


def folder() -> Path:
    """Where kernels are kept: see the README.

    Raises
    ------
    RuntimeError
        If nothing is said, and the user has no home.
    """
    if own := os.environ.get(ENVIRONMENT):
        return Path(own).expanduser().absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "ase_symcalc"


def find(key: str) -> bytes | None:
    """Code that was kept under this name, if it is there and to be trusted."""
    try:
        path = folder() / f"{key}{_SUFFIX}"
        if not path.exists():
            return None
        _check(path.parent.stat(), stat.S_IFDIR)
        _check(path.lstat(), stat.S_IFREG)
        content = path.read_bytes()
    except (OSError, RuntimeError) as error:
        _do_without(error)
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    if digest != _digest(key, code):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # when it was last used
    return code


def keep(key: str, code: bytes) -> None:
    """Write code under a name of letters and digits, so that no reader sees a part of it."""
    try:
        place = folder()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(place.stat(), stat.S_IFDIR)
        handle, unfinished = tempfile.mkstemp(suffix=_SUFFIX, dir=place)
        try:
            with open(handle, "wb") as file:
                file.write(_digest(key, code) + code)
            os.replace(unfinished, place / f"{key}{_SUFFIX}")
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
        _prune(place)
    except (OSError, RuntimeError) as error:
        _do_without(error)


def _digest(key: str, code: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + code).digest()


def _check(status: os.stat_result, kind: int) -> None:
    """Raise PermissionError unless it is of a kind, and only the user can have written it."""
    if stat.S_IFMT(status.st_mode) != kind:
        raise PermissionError("expected a folder of plain files, got something else")
    if sys.platform == "win32":
        return
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError("folder or file belongs to others, or others may write to it")


def _prune(place: Path) -> None:
    """Delete what was not used for longest, files included that a process left unfinished."""
    files = []
    for path in place.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # another process prunes too
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    total = 0
    for _, size, path in sorted(files, reverse=True):
        total += size
        if total > LARGEST:
            path.unlink(missing_ok=True)


def _do_without(error: Exception) -> None:
    _say(str(getattr(error, "strerror", None) or error))  # without the name, which differs


@functools.cache
def _say(reason: str) -> None:
    """Say something once."""
    logger.info("compiled kernels are not taken from disk or not kept there: %s", reason)
