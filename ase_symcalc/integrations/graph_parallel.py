"""One system over several processes or GPUs, as an ordinary ASE calculator.

On one machine, nothing else has to be started::

    from ase_symcalc.integrations.graph_parallel import GraphParallelCalculator

    with GraphParallelCalculator.start("pbe16", n_processes=4) as calc:
        atoms.calc = calc
        ...

On several, start the same script once for each process, with `torch.distributed` initialised
as its documentation says (``torchrun``, ``srun``)::

    torch.distributed.init_process_group("nccl")
    calc = GraphParallelCalculator("pbe16", device=f"cuda:{local_rank}")
    if calc.rank:
        calc.serve()  # until process 0 closes
    else:
        atoms.calc = calc
        ...
        calc.close()

Each process owns a slab with equally many atoms and evaluates these. What neighbours in other
slabs look like is sent from their owners before each layer but the first.
"""

from __future__ import annotations

import os
import pickle
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch.distributed as dist
from ase import Atoms
from ase.calculators.calculator import (
    CalculationFailed,
    Calculator,
    InputError,
    PropertyNotImplementedError,
    all_changes,
)

from ase_symcalc import errors
from ase_symcalc.calculator import ENERGIES, SymCalc
from ase_symcalc.evaluation import (
    Committee,
    PotentialLike,
    as_ase_errors,
    ase_results,
    checked_arrays,
    warn_of_pairs,
)
from ase_symcalc.integrations.processes import (
    PATIENCE,
    Workers,
    join_group,
    loopback_only,
    settings_of,
    share_of_threads,
)
from ase_symcalc.integrations.shares import Member


class GraphParallelCalculator(Calculator):
    """ASE calculator whose work several processes share; made in each of them.

    Parameters
    ----------
    potential : str, path or Potential
        As for `SymCalc`; the same in all processes.
    device : str
        Where this process evaluates, as torch names it.
    dtype : {"float64", "float32"}
    skin : float, Å
        As for `SymCalc`. Slabs are cut anew whenever neighbours are searched for.

    Raises
    ------
    ase.calculators.calculator.InputError
        If there are no processes (see the module), or they have different settings.
    ase.calculators.calculator.CalculatorSetupError
        If the potential cannot be found or read.

    Notes
    -----
    Energies, forces and stress are those of `SymCalc`, but for the order of sums. Symmetry is
    not used. A structure without meaning is refused as `SymCalc` refuses it, and the next one
    may follow. Where a process ends or fails in any other way, all of them end: process 0 raises
    `CalculationFailed`, and the calculator is closed.

    Attributes
    ----------
    rank, size : int
        Which process this is, and how many there are.
    unseen_pairs : tuple of str
        Pairs of elements that it has warned of, as "Ni-Cu".
    """

    implemented_properties = SymCalc.implemented_properties
    ignored_changes = SymCalc.ignored_changes
    nolabel = True

    def __init__(
        self,
        potential: PotentialLike = "default",
        *,
        device: str = "cpu",
        dtype: str = "float64",
        skin: float = 1.0,
    ) -> None:
        if not dist.is_initialized():
            raise InputError(
                "expected torch.distributed to be initialised, which it is not; "
                "GraphParallelCalculator.start(...) starts processes on this machine"
            )
        if Workers.running:
            raise InputError(
                "the processes belong to a calculator that GraphParallelCalculator.start made "
                "and that is not closed; close it, and start another one"
            )
        with as_ase_errors():
            self._join(Committee.load(potential, device, dtype), device, dtype, skin, None)

    def _join(
        self, committee: Committee, device: str, dtype: str, skin: float, workers: Workers | None
    ) -> None:
        """Begin, together with all processes; they end with this calculator or the program."""
        super().__init__()
        self._member: Member | None = Member(committee.members[0], skin)
        self.rank, self.size = self._member.rank, self._member.size
        self.unseen_pairs: tuple[str, ...] = ()
        self.parameters.update(
            potential=committee.addresses[0], device=device, dtype=dtype, skin=skin
        )
        self._workers = workers
        self._end = weakref.finalize(self, _stop, self._member, workers)

    @classmethod
    def start(
        cls,
        potential: PotentialLike = "default",
        n_processes: int = 2,
        *,
        device: str = "cpu",
        dtype: str = "float64",
        skin: float = 1.0,
        timeout: float = 600.0,
    ) -> GraphParallelCalculator:
        """Start ``n_processes - 1`` more processes on this machine; this one is process 0.

        Parameters
        ----------
        potential, dtype, skin
            As for the class.
        n_processes : int
            On the CPU, torch's threads of this process are divided among them.
        device : str
            "cuda" gives every process a GPU of its own while there are enough.
        timeout : float, s
            How long a process waits for the rows of another one.

        Returns
        -------
        GraphParallelCalculator
            To be closed in the end, for instance by ``with``.

        Raises
        ------
        ase.calculators.calculator.InputError
            If torch.distributed is in use already, or an argument has no meaning.
        ase.calculators.calculator.CalculatorSetupError
            If the potential cannot be found or read, or a process does not start.
        """
        first = f"{device}:0" if device == "cuda" else device
        with as_ase_errors():
            committee = Committee.load(potential, first, dtype)
            settings, devices = settings_of(committee, n_processes, device, skin, timeout)
            workers = Workers(settings, devices)
            try:
                workers.wait_until_ready()
                with loopback_only():
                    join_group(workers.settings, 0)
                    calc = cls.__new__(cls)
                    calc._join(committee, first, dtype, skin, workers)
            except BaseException:
                workers.kill()
                if dist.is_initialized():
                    dist.destroy_process_group()
                raise
            return calc

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill `results` for ``atoms``, or for those of the last calculation.

        Raises
        ------
        ase.calculators.calculator.InputError
            If the structure has no meaning, or this is not process 0, or it was closed.
        PropertyNotImplementedError
            If stress is asked for and the structure has no volume.
        CalculationFailed
            If the network returns NaN or infinity, or a process ended.
        """
        member = self._open_member()
        atoms = self.atoms if atoms is None else atoms
        if atoms is None:
            raise InputError("expected atoms, got none, and no earlier calculation had any")
        with as_ase_errors():
            arrays = checked_arrays(atoms, member.potential.model.elements)
            if not {"stress", "stresses"}.isdisjoint(properties) and arrays.volume is None:
                raise PropertyNotImplementedError(
                    "stress needs a volume, and this structure has none: at least one direction "
                    "must be periodic and all three cell vectors set"
                )
            derivatives = not ENERGIES.issuperset(properties)

            def evaluate() -> Any:
                if self._workers:
                    self._workers.check()
                member.begin(arrays, derivatives)
                return member.evaluate(arrays, derivatives)

            result = self._together(evaluate)
        self.atoms, self.results = atoms.copy(), ase_results(result)
        unseen = member.unseen.difference(self.unseen_pairs)
        self.unseen_pairs += tuple(sorted(unseen))
        warn_of_pairs(unseen, [member.potential])

    def serve(self) -> None:
        """Every process but 0: take part until process 0 closes the calculator.

        Raises
        ------
        ase.calculators.calculator.InputError
            In process 0.
        CalculationFailed
            If another process ended or failed.
        """
        if self._member is not None and not self.rank:
            raise InputError("process 0 calculates, and the others serve; do not let it serve")
        member, self._member = self._member, None
        if member is not None:
            try:
                member.serve()
            except RuntimeError as error:
                raise CalculationFailed(
                    f"cannot go on, another process may have ended: {error}"
                ) from error

    def close(self) -> None:
        """Process 0: let the others go. Nothing happens a second time."""
        self._member = None
        self._end()

    def __enter__(self) -> GraphParallelCalculator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        raise pickle.PicklingError(
            "a calculator that lives in several processes cannot be copied or sent to others"
        )

    def _open_member(self) -> Member:
        if self.rank:
            raise InputError(f"only process 0 calculates, and this is {self.rank}; call serve()")
        if self._member is None or self._member.home != os.getpid():
            raise InputError("this calculator is closed, or of another process; make a new one")
        return self._member

    def _together(self, call: Callable[[], Any]) -> Any:
        """Call, and end all processes if anything fails that they did not agree upon."""
        try:
            with share_of_threads(self.size if self._workers else 1):
                return call()
        except (errors.InputError, errors.NumericalError):
            raise
        except BaseException as error:
            self._end.detach()
            self._member = None
            blamed = isinstance(error, RuntimeError)  # torch's, of a connection that broke
            said = self._workers.kill(PATIENCE if blamed else 0) if self._workers else ""
            if dist.is_initialized():
                dist.destroy_process_group()
            if not isinstance(error, Exception):
                raise
            raise CalculationFailed(
                f"the processes could not finish together, and the calculator is closed: "
                f"{said or error}"
            ) from error


def _stop(member: Member, workers: Workers | None) -> None:
    """Let all processes end as they should, unless this is a fork of one."""
    if member.home != os.getpid():
        return
    try:
        if member.rank == 0 and dist.is_initialized():
            member.stop()
    except RuntimeError:  # some have ended already
        pass
    if workers is not None:
        workers.join()
        if dist.is_initialized():
            dist.destroy_process_group()
