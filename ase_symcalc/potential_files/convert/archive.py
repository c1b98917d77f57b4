"""The zip archives that torch writes: one pickle, and the numbers of each tensor beside it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from ase_symcalc.errors import PotentialFileError

LONGEST_PICKLE = 1 << 26  # bytes; it holds names and shapes, the numbers lie beside it
LONGEST_EXTRA = 1 << 20  # bytes
EXTRA = ("nequip_version", "config")
"""What NequIP writes beside a program."""
_CODE = "/code/"  # in the names of entries that may be compressed, and are never read


class TorchArchive:
    """What `torch.save` wrote, read without torch's own loader.

    Nothing can be larger than the file itself: compressed or overlapping entries, which could
    be, are refused before anything is read.

    Attributes
    ----------
    path : Path
    pickle : bytes
        Not yet interpreted.
    extra : dict of str to bytes
        What is written beside a program; empty if it is none.

    Raises
    ------
    PotentialFileError
        If the file is missing, cut short, or not such an archive.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._zip = zipfile.ZipFile(self.path)
            size = self.path.stat().st_size
        except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
            raise PotentialFileError(
                f"expected {self.path} to be a complete archive written by torch.save, "
                f"got: {error}. Fetch it again; a file of torch 1.5 or older must be saved "
                "again by a newer torch."
            ) from error
        entries = self._zip.infolist()
        data = [e for e in entries if _CODE not in e.filename]
        if any(e.compress_type != zipfile.ZIP_STORED for e in data) or (
            sum(max(e.file_size, e.compress_size) for e in data) > size
        ):
            raise PotentialFileError(
                f"{self.path}: expected an archive as torch writes it, with nothing compressed, "
                "got one whose contents are larger than the file"
            )
        if any(e.filename.endswith("/.data/extern_modules") for e in entries):
            raise PotentialFileError(
                f"{self.path} is a packaged program, and programs are not executed here. "
                "Give the checkpoint that it was packaged from."
            )
        roots = [e.filename.removesuffix("/data.pkl") for e in entries if _is_pickle(e.filename)]
        if len(roots) != 1:
            raise PotentialFileError(
                f"{self.path}: expected one data.pkl in the archive, found {len(roots)}. "
                "Is it a checkpoint that torch.save wrote?"
            )
        self._root = roots[0]
        names = {e.filename for e in data}
        self.extra: dict[str, bytes] = {}
        if f"{self._root}/constants.pkl" in names:
            places = {name: f"{self._root}/extra/{name}" for name in EXTRA}
            if not names.issuperset(places.values()):
                raise PotentialFileError(
                    f"{self.path} is a TorchScript program, and programs are not executed here. "
                    "Give the checkpoint that it was deployed from."
                )
            self.extra = {name: self._read(at, LONGEST_EXTRA) for name, at in places.items()}
        byteorder = f"{self._root}/byteorder"
        if byteorder in names and self._read(byteorder) != b"little":
            raise PotentialFileError(f"{self.path}: expected little-endian numbers, got others")
        self.pickle = self._read(f"{self._root}/data.pkl", LONGEST_PICKLE)
        self._storages: dict[tuple[str, torch.dtype], Tensor] = {}

    def storage(self, key: str, dtype: torch.dtype, length: int) -> Tensor:
        """All numbers of one storage, as a flat tensor; each is read once.

        Raises
        ------
        PotentialFileError
            If there is none of this name and length.
        """
        if (key, dtype) not in self._storages:
            data = self._read(f"{self._root}/data/{key}")
            if len(data) != length * dtype.itemsize:
                raise PotentialFileError(
                    f"{self.path}: expected {length} numbers of {dtype} in storage {key!r}, "
                    f"got {len(data)} bytes. Fetch the file again."
                )
            flat = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0)
            self._storages[key, dtype] = flat.to(dtype)
        return self._storages[key, dtype]

    def _read(self, name: str, longest: int | None = None) -> bytes:
        try:
            if _CODE in name:
                raise KeyError("no program is read")
            length = self._zip.getinfo(name).file_size
            if longest is not None and length > longest:
                raise PotentialFileError(
                    f"{self.path}: expected at most {longest} bytes in {name[:100]!r}, got {length}"
                )
            return self._zip.read(name)
        except (KeyError, EOFError, OSError, RuntimeError, zipfile.BadZipFile) as error:
            raise PotentialFileError(
                f"{self.path}: expected to read {name[:100]!r} in the archive, got: {error}. "
                "The file is damaged; fetch it again."
            ) from error


def _is_pickle(name: str) -> bool:
    return name.endswith("/data.pkl") and name.count("/") == 1
