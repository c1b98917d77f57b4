"""The files of a run: whatever kills it, they agree with each other and can be read."""

from __future__ import annotations

import csv
import errno
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from ase import Atoms
from ase.io.extxyz import write_extxyz
from ase.io.trajectory import TrajectoryWriter

from ase_symcalc.errors import InputError
from ase_symcalc.potential_files.tables import read_json

COLUMNS = (
    "step",
    "time_fs",
    "temperature_K",
    "potential_eV",
    "kinetic_eV",
    "total_eV",
    "conserved_eV",
    "pressure_GPa",
    "volume_A3",
    "force_error_eV_per_A",
)

SCHEMA = 2

_HEAD = slice(32, 48)
"""Bytes of an ASE trajectory that say how many frames there are, and where they are listed."""

Row = Sequence[int | float | None]


class RunFiles:
    """Trajectory, log and restart file of one run.

    `write` adds a frame and a row and then replaces the restart file, which knows how long the
    other two were at that moment. What they hold beyond it, because the run was killed or the
    disk was full, is cut off.

    Parameters
    ----------
    trajectory : Path
        Ends in .traj for ASE's own format, exact, or in .xyz or .extxyz for text with eight
        decimals. The log and the restart file have its name with .csv and .restart.

    Raises
    ------
    InputError
        If the ending is another.
    """

    def __init__(self, trajectory: Path) -> None:
        if trajectory.suffix not in (".traj", ".xyz", ".extxyz"):
            raise InputError(
                "expected the name of the trajectory to end in .traj, .xyz or .extxyz, got "
                f"{trajectory}"
            )
        self.trajectory = trajectory
        self.log = trajectory.with_suffix(".csv")
        self.restart = trajectory.with_suffix(".restart")
        self.last_step: int | None = None
        self._ends: dict[str, Any] | None = None
        self._writer: TrajectoryWriter | None = None
        self._streams: list[BinaryIO] = []

    def check_free(self) -> None:
        """Refuse to replace an earlier run.

        Raises
        ------
        InputError
        """
        for path in (self.trajectory, self.log, self.restart):
            if path.exists():
                raise InputError(
                    f"{path} exists, and a run is never overwritten; go on with it "
                    "(resume=True, --resume), delete it, or choose another name"
                )

    def read_restart(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """Read settings and arrays of the run to go on with; None if none was begun.

        Raises
        ------
        InputError
            If some files are there without the others, or one is damaged.
        """
        if not self.restart.exists():
            if self.trajectory.exists() or self.log.exists():
                raise InputError(
                    f"there is no restart file {self.restart}, so the run cannot go on exactly "
                    f"where it was; start another one from the last frame of {self.trajectory}"
                )
            return None
        try:
            with self.restart.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
                arrays = dict(content)
            header = read_json(str(arrays.pop("header")).encode())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{self.restart} cannot be read: it is damaged, or no restart file of a run; "
                f"start another one from the last frame of {self.trajectory}"
            ) from error
        if header.get("schema") != SCHEMA:
            raise InputError(
                f"{self.restart} has schema {header.get('schema')}, this version reads {SCHEMA}; "
                f"start another run from the last frame of {self.trajectory}"
            )
        self._check_lengths(header["ends"])
        self._ends, self.last_step = header["ends"], header["step"]
        return header, arrays

    def open(self) -> None:
        """Open for appending; whatever came after the last `write` is cut off."""
        self._cut()
        log: BinaryIO = self.log.open("ab")
        self._streams = [log]
        if self.trajectory.suffix == ".traj":
            self._writer = TrajectoryWriter(str(self.trajectory), "a")
        else:
            self._streams.append(self.trajectory.open("ab"))
        if self._ends is None:
            log.write((",".join(COLUMNS) + "\n").encode())

    def write(
        self, atoms: Atoms, row: Row, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> None:
        """Add a frame and a row, then replace the restart file.

        Raises
        ------
        OSError
            If the disk is full, say. All that was written before is whole.
        """
        try:
            self._append(atoms, row)
            ends = self._measure()
            unfinished = self.restart.with_name(f".{self.restart.name}.part")
            try:
                with unfinished.open("wb") as stream:
                    full = {"schema": SCHEMA, "ends": ends, "step": row[0], **header}
                    np.savez(
                        stream, allow_pickle=False, header=np.array(json.dumps(full)), **arrays
                    )
                self._ends = ends  # first: files longer than the restart file says do no harm
                unfinished.replace(self.restart)
            finally:
                unfinished.unlink(missing_ok=True)
            self.last_step = int(row[0] or 0)
        except OSError as error:
            self._abandon()
            raise OSError(
                error.errno or errno.EIO, self._in_words(error), str(self.trajectory)
            ) from error
        except BaseException:
            self._abandon()
            raise

    def rows(self) -> np.ndarray:
        """All rows of the log, one column each of `COLUMNS`; NaN where it has no value."""
        with self.log.open(newline="") as stream:
            reader = csv.reader(stream)
            next(reader)
            return np.array([[float(value or "nan") for value in row] for row in reader])

    def close(self) -> None:
        """Close what is open."""
        if self._writer is not None:
            self._writer.close()
        for stream in self._streams:
            stream.close()
        self._writer, self._streams = None, []

    def _append(self, atoms: Atoms, row: Row) -> None:
        log, *text = self._streams
        log.write((",".join("" if v is None else repr(v) for v in row) + "\n").encode())
        log.flush()
        if self._writer is not None:
            self._writer.write(atoms)  # flushes
            return
        with open(text[0].fileno(), "w", closefd=False, newline="\n") as stream:
            write_extxyz(stream, [atoms])

    def _measure(self) -> dict[str, Any]:
        with self.trajectory.open("rb") as stream:
            head = stream.read(_HEAD.stop)[_HEAD]
        return {
            "trajectory": self.trajectory.stat().st_size,
            "log": self.log.stat().st_size,
            "head": head.hex() if self.trajectory.suffix == ".traj" else "",
        }

    def _check_lengths(self, ends: Mapping[str, Any]) -> None:
        for path, needed in ((self.trajectory, ends["trajectory"]), (self.log, ends["log"])):
            size = path.stat().st_size if path.exists() else 0
            if size < needed:
                raise InputError(
                    f"{path} has {size} bytes but the run had written {needed}: it was cut, "
                    "replaced or deleted. Bring it back, or start another run from the last frame"
                )

    def _cut(self) -> None:
        """Back to the state that the restart file knows."""
        if self._ends is None:
            for path in (self.trajectory, self.log):
                path.unlink(missing_ok=True)
            return
        os.truncate(self.log, self._ends["log"])
        os.truncate(self.trajectory, self._ends["trajectory"])
        if self._ends["head"]:
            with self.trajectory.open("r+b") as stream:
                stream.seek(_HEAD.start)
                stream.write(bytes.fromhex(self._ends["head"]))

    def _abandon(self) -> None:
        """Close without finishing what was begun, and cut it off."""
        streams = [*self._streams]
        if self._writer is not None:  # its own close() would complete a broken frame
            streams.append(self._writer.backend.fd)
        self._writer, self._streams = None, []
        for stream in streams:
            with suppress(OSError):
                stream.close()
        with suppress(OSError):
            self._cut()

    def _in_words(self, error: OSError) -> str:
        why = error.strerror or str(error)
        if self.last_step is None:
            return f"{why}; nothing was written"
        return (
            f"{why}; everything up to step {self.last_step} is whole. Make room, then go on from "
            "there (resume=True, --resume)"
        )
