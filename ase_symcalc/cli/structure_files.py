"""Structures from files and into files, refused with a sentence before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ase import Atoms
from ase.io import iread, write
from ase.io.formats import UnknownFileTypeError, filetype

from ase_symcalc.errors import InputError

FORMATS_TO_KEEP = ("cif", "vasp", "extxyz", "xsf", "gen", "aims")
"""Formats that hold one structure and nothing a calculation would need besides."""

COMPRESSED = (".gz", ".bz2", ".xz")


def read_images(path: Path) -> Iterator[Atoms]:
    """Every structure of a file, in any format ASE reads.

    Raises
    ------
    InputError
        If there is no such file, or ASE finds no structure in it.
    """
    if not path.is_file():
        what = "is a folder, not a structure file" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {what}; expected a file such as silicon.cif")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; expected at least one structure")
    n_images = 0
    try:
        for atoms in iread(str(path), ":", do_not_split_by_at_sign=True):
            n_images += 1
            yield atoms
    except UnknownFileTypeError as error:
        raise InputError(
            f"ASE does not know the format of {path}; give it the extension of its format, such "
            "as .cif, .vasp, .xyz or .traj"
        ) from error
    except Exception as error:  # every reader of ASE fails in its own way
        raise InputError(
            f"ASE could not read {path} as {_format_of(path)} ({_in_one_line(error)}); check that "
            "the file is whole and that its extension fits its contents"
        ) from error
    if n_images == 0:
        raise InputError(f"{path} holds no structure")


def last_image(path: Path) -> tuple[Atoms, int]:
    """Read the last structure of a file, and how many there are."""
    for n_images, last in enumerate(read_images(path), start=1):  # noqa: B007
        pass
    return last, n_images


def which_was_taken(path: Path, n_images: int) -> list[str]:
    """Say which of several images `last_image` took; nothing if there is one."""
    return [f"{path} holds {n_images} structures; taking the last"] if n_images > 1 else []


def relaxed_name(source: Path) -> Path:
    """Where to write in the current folder: the source's format if it can hold the result."""
    if source.suffix in COMPRESSED:
        source = source.with_suffix("")
    keep = _format_of(source) in FORMATS_TO_KEEP
    return Path(f"{source.stem}-relaxed{source.suffix if keep else '.extxyz'}")


def trajectory_name(source: Path) -> Path:
    """Where to write the steps: ASE takes anything with POSCAR in its name for one."""
    path = relaxed_name(source).with_suffix(".traj")
    return path if is_trajectory_name(path) else Path("relaxed.traj")


def is_trajectory_name(path: Path) -> bool:
    """Whether ASE would read a file of that name as a trajectory."""
    return path.suffix == ".traj" and filetype(path.name, read=False) == "traj"


def check_structure_output(path: Path, atoms: Atoms, source: Path) -> None:
    """Refuse an output whose format is unknown or cannot hold the structure.

    Raises
    ------
    InputError
        Also as `check_output`.
    """
    check_output(path, source)
    with TemporaryDirectory() as folder:
        try:
            write(Path(folder) / path.name, atoms.copy())
        except Exception as error:  # every writer of ASE fails in its own way
            raise InputError(
                f"ASE cannot write this structure to {path} ({_in_one_line(error)}); choose "
                "another name with --out, such as relaxed.extxyz"
            ) from error


def check_output(path: Path, source: Path) -> None:
    """Refuse an output that would replace the input, or that cannot be written.

    Raises
    ------
    InputError
    """
    if path.exists() and path.samefile(source):
        raise InputError(f"{path} is the input, which is never overwritten; choose another name")
    check_writable(path)


def check_writable(path: Path) -> None:
    """Refuse an output that cannot be written.

    Raises
    ------
    InputError
    """
    folder = path.parent
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected the name of a file to write")
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(f"cannot write {path}: no permission")


def check_distinct(paths: Iterable[Path]) -> None:
    """Refuse two outputs in one file.

    Raises
    ------
    InputError
    """
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise InputError(f"two outputs would both go to {path}; give them different names")
        seen.add(path.resolve())


def _format_of(path: Path) -> str:
    try:
        return filetype(str(path), read=path.is_file())
    except UnknownFileTypeError:
        return "any format"


def _in_one_line(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
