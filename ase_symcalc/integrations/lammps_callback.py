"""What LAMMPS asks in every step: the forces on the atoms of each process's domain."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from ase_symcalc.errors import InputError, SymCalcError
from ase_symcalc.evaluation import undisturbed, unseen_pairs, warn_of_pairs
from ase_symcalc.evaluation.domains import evaluate_domain
from ase_symcalc.inference import Surroundings
from ase_symcalc.inference.pair_list import edges_within, to_atoms
from ase_symcalc.integrations.lammps_exchange import GhostRows
from ase_symcalc.potential_files import Potential
from ase_symcalc.structures import TOO_CLOSE, Pairs, StructureArrays

FIX = "symcalc"
"""ID of the fix through which forces reach LAMMPS"""
FAILED = 2
SKIN = 1.0
"""Å; as that of `SymCalc`"""

_VOIGT = (0, 4, 8, 1, 2, 5)
"""LAMMPS' order of a tensor: xx, yy, zz, xy, xz, yz"""


@dataclass(frozen=True, slots=True)
class Domain:
    """Atoms of a process, ghosts that are their neighbours, and who owns these.

    Holds while LAMMPS has the same atoms here and none has moved by more than half the skin.
    """

    ids: Int64[np.ndarray, "n_all"]
    """of all atoms and ghosts that LAMMPS has here, atoms first"""
    origin: Float64[np.ndarray, "n_all 3"]
    """where they were, Å"""
    rows: Int64[np.ndarray, "n_rows"]
    """which of them matter: all atoms, and ghosts within reach of one"""
    pairs: Pairs
    """of rows"""
    exchange: GhostRows

    @classmethod
    def of(
        cls,
        comm: Any,
        ids: Int64[np.ndarray, "n_all"],
        positions: Float64[np.ndarray, "n_all 3"],
        n_own: int,
        cutoff: float,
    ) -> Domain:
        """Look for neighbours, and with all processes for the owners of ghosts.

        Raises
        ------
        InputError
            As `GhostRows`.
        """
        reach = cutoff + SKIN
        centre, neighbour = _neighbours(positions, n_own, reach)
        near = np.unique(neighbour[neighbour >= n_own])
        rows = np.concatenate([np.arange(n_own), near])
        row_of = np.empty(len(ids), np.int64)
        row_of[rows] = np.arange(len(rows))
        pairs = Pairs(centre, row_of[neighbour], np.zeros((len(centre), 3), np.int64), reach)
        exchange = GhostRows(comm, ids[:n_own], ids[near])
        return cls(ids.copy(), positions.copy(), rows, pairs, exchange)

    def holds(
        self, ids: Int64[np.ndarray, "n_now"], positions: Float64[np.ndarray, "n_now 3"]
    ) -> bool:
        """Whether these are the same atoms, near where they were."""
        if not np.array_equal(ids, self.ids):
            return False
        motion = positions - self.origin
        if len(motion):
            motion -= motion.mean(axis=0)
        return bool(np.einsum("ai,ai->a", motion, motion).max(initial=0) <= (SKIN / 2) ** 2)


class DomainForces:
    """Evaluates a domain; LAMMPS calls it on all processes in every step.

    Parameters
    ----------
    lmp : lammps.lammps
        Whose fix external `FIX` this serves.
    comm : mpi4py.MPI.Comm
        The processes of LAMMPS.
    potential : Potential
    numbers : (n_types,) array
        Atomic number of each atom type.

    Attributes
    ----------
    domain : Domain or None
        Of the last call.
    n_searches : int
        How often neighbours were looked for.
    """

    def __init__(
        self,
        lmp: Any,
        comm: Any,
        potential: Potential,
        numbers: Int64[np.ndarray, "n_types"],
    ) -> None:
        self._lmp, self._comm, self._potential = lmp, comm, potential
        self._numbers = np.concatenate([[0], numbers])  # types start at 1
        self.domain: Domain | None = None
        self.n_searches = 0
        self._named: set[str] = set()

    def __call__(
        self, caller: object, step: int, n_own: int, ids: Any, positions: Any, forces: np.ndarray
    ) -> None:
        """Fill the forces; whatever goes wrong ends all processes, for none can go on alone."""
        try:
            with undisturbed():
                self._evaluate(n_own, forces)
        except BaseException as error:
            self._lmp.flush_buffers()  # what it printed and logged so far
            end_all(self._comm, error)

    def _evaluate(self, n_own: int, forces: np.ndarray) -> None:
        ids, types, positions = self._atoms(n_own)
        numbers = self._numbers[types]
        domain = self._domain(ids, positions, numbers, n_own)
        numbers = numbers[domain.rows]
        vectors, centre, neighbour = edges_within(
            (domain.pairs.centre, domain.pairs.neighbour, domain.pairs.unit_shifts),
            positions[domain.rows],
            np.zeros((3, 3)),
            self._potential.model.cutoff,
        )
        seen = Surroundings(vectors, centre, neighbour, numbers, n_own, exchange=domain.exchange)
        _check_separation(seen, ids[domain.rows])
        energies, gradient = evaluate_domain(
            self._potential, vectors, centre, neighbour, numbers, n_own, domain.exchange
        )
        assert gradient is not None
        on_rows, shares = to_atoms(seen, gradient)
        shared = np.concatenate([on_rows, -shares.reshape(-1, 9)[:, _VOIGT]], axis=1)
        domain.exchange.fold(shared)
        own = shared[:n_own]
        forces[:] = own[:, :3]
        self._tell(energies, own[:, 3:])

    def _atoms(self, n_own: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """IDs, types and positions of atoms and ghosts."""
        n_all = n_own + self._lmp.extract_setting("nghost")
        if n_all == 0:  # LAMMPS may have no memory for them
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3))
        take = self._lmp.numpy.extract_atom
        ids, types = (take(name, nelem=n_all).astype(np.int64) for name in ("id", "type"))
        return ids.reshape(-1), types.reshape(-1), take("x", nelem=n_all, dim=3).reshape(-1, 3)

    def _domain(
        self, ids: np.ndarray, positions: np.ndarray, numbers: np.ndarray, n_own: int
    ) -> Domain:
        old = self.domain
        fresh = old is not None and old.holds(ids, positions)
        if old is not None and self._comm.allreduce(int(fresh)) == self._comm.size:
            return old
        if (style := self._lmp.extract_global("pair_style")) != "zero":
            raise InputError(
                f"the potential must stay the only pair style, and now it is {style}; use a run "
                "of its own"
            )
        cutoff = self._potential.model.cutoff
        domain = self.domain = Domain.of(self._comm, ids, positions, n_own, cutoff)
        self.n_searches += 1
        self._warn(domain, numbers[domain.rows])
        return domain

    def _warn(self, domain: Domain, numbers: np.ndarray) -> None:
        """Name pairs of elements that no training data had, once each."""
        places = domain.origin[domain.rows]
        arrays = StructureArrays(places, np.zeros((3, 3)), np.zeros(3, dtype=bool), numbers)
        here = unseen_pairs(arrays, domain.pairs, self._potential, self._named)
        unseen = set().union(*self._comm.allgather(here))
        self._named |= unseen
        if self._comm.rank == 0:
            warn_of_pairs(unseen, [self._potential])

    def _tell(self, energies: np.ndarray, virials: np.ndarray) -> None:
        """Hand over energy and virial of all, and each atom's own."""
        lmp, total = self._lmp, np.array([energies.sum(), *virials.sum(axis=0)])
        everywhere = np.empty_like(total)
        self._comm.Allreduce(total, everywhere)
        lmp.fix_external_set_energy_global(FIX, everywhere[0])
        lmp.fix_external_set_virial_global(FIX, everywhere[1:])
        if len(energies):
            lmp.numpy.fix_external_set_energy_peratom(FIX, energies)
            lmp.numpy.fix_external_set_virial_peratom(FIX, np.ascontiguousarray(virials))


def end_all(comm: Any, error: BaseException) -> None:
    """Say what went wrong and end every process with an exit code that is not zero."""
    if isinstance(error, SymCalcError | OSError):
        print(f"symcalc lammps: {error}", file=sys.stderr, flush=True)
    elif not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    comm.Abort(130 if isinstance(error, KeyboardInterrupt) else FAILED)


def _neighbours(
    positions: Float64[np.ndarray, "n_all 3"], n_own: int, reach: float
) -> tuple[Int64[np.ndarray, "n_pairs"], Int64[np.ndarray, "n_pairs"]]:
    """Pairs of an atom and any other atom or ghost within reach, sorted."""
    if n_own == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    own, every = KDTree(positions[:n_own]), KDTree(positions)
    found = own.sparse_distance_matrix(every, reach, output_type="ndarray")
    i, j = found["i"], found["j"]
    others = i != j
    i, j = i[others], j[others]
    # rows of a matrix are sorted faster than pairs
    matrix = csr_array((np.ones(len(i), np.int8), (i, j)), (n_own, len(positions)))
    matrix.sort_indices()
    centre = np.repeat(np.arange(n_own), np.diff(matrix.indptr))
    return centre, matrix.indices.astype(np.int64)


def _check_separation(seen: Surroundings, ids: np.ndarray) -> None:
    squares = (seen.edge_vectors**2).sum(axis=1)
    if squares.min(initial=np.inf) >= TOO_CLOSE**2:
        return
    closest = int(squares.argmin())
    first, second = ids[seen.centre[closest]], ids[seen.neighbour[closest]]
    raise InputError(
        f"atoms {first} and {second} are {squares[closest] ** 0.5:.3g} Å apart; expected at least "
        f"{TOO_CLOSE:g} Å. Check the structure, its units, and the timestep."
    )
