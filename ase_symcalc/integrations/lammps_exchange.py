"""Rows of ghost atoms, exchanged between the processes of an MPI run by the IDs of the atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from scipy.sparse import csr_array

from ase_symcalc.errors import InputError
from ase_symcalc.inference.surroundings import Rows


class GhostRows:
    """The way of rows from atoms to their ghosts, and back; an `inference.RowExchange`.

    Ghosts are copies of atoms, of this process or another one, and several may be copies of the
    same atom: it is sent once. Every process must make the object and call its methods at the
    same time, with atoms or without.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    own : (n_centres,) array
        IDs of the atoms of this process; no two atoms of all processes have the same.
    ghosts : (n_ghosts,) array
        IDs of those whose copies are here.

    Attributes
    ----------
    n_sent, n_received : int
        Rows that other processes get from this one, and it from them.
    bytes_sent : int
        What `fill` and `fold` have sent to other processes.

    Raises
    ------
    InputError
        If an ID is not unique, or a ghost is nobody's copy.
    """

    def __init__(
        self,
        comm: Any,
        own: Int64[np.ndarray, "n_centres"],
        ghosts: Int64[np.ndarray, "n_ghosts"],
    ) -> None:
        self._comm, self._n = comm, len(own)
        wanted, self._place = np.unique(ghosts, return_inverse=True)
        owner, index = _owners(comm, own, wanted)
        order = np.argsort(owner, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        self._place = rank[self._place]  # of what arrives, sorted by who sends it
        self._given, self._n_given, self._n_taken = _deal(comm, owner[order], index[order, None])
        self._given = self._given[:, 0]
        to_taken, to_own = (
            csr_array((np.ones(len(to), np.float32), (to, np.arange(len(to)))), (n, len(to)))
            for to, n in ((self._place, len(wanted)), (self._given, self._n))
        )
        self._to_taken, self._to_own = to_taken, to_own
        self.n_sent = int(self._n_given.sum() - self._n_given[comm.rank])
        self.n_received = int(self._n_taken.sum() - self._n_taken[comm.rank])
        self.bytes_sent = 0

    def fill(self, rows: Rows) -> None:
        """Write the rows of the ghosts, which follow those of the centres."""
        own = _host(rows[: self._n])
        taken = self._send(own[self._given], self._n_given, self._n_taken)
        self.bytes_sent += self.n_sent * own.itemsize * own.shape[1]
        rows[self._n :] = _like(taken[self._place], rows)  # type: ignore[assignment]

    def fold(self, gradient: Rows) -> None:
        """Add what belongs to ghosts, here and elsewhere, to the centres they are copies of."""
        ghosts = _host(gradient[self._n :])
        summed = (self._to_taken @ ghosts).astype(ghosts.dtype, copy=False)
        back = self._send(summed, self._n_taken, self._n_given)
        self.bytes_sent += self.n_received * ghosts.itemsize * ghosts.shape[1]
        gradient[: self._n] += _like(self._to_own @ back, gradient)  # type: ignore[operator]

    def _send(self, rows: np.ndarray, n_given: np.ndarray, n_taken: np.ndarray) -> np.ndarray:
        taken = np.empty((int(n_taken.sum()), rows.shape[1]), rows.dtype)
        _all_to_all(self._comm, rows, n_given, taken, n_taken)
        return taken


def _owners(
    comm: Any, own: Int64[np.ndarray, "n"], wanted: Int64[np.ndarray, "n_wanted"]
) -> tuple[Int64[np.ndarray, "n_wanted"], Int64[np.ndarray, "n_wanted"]]:
    """Rank and index there of wanted atoms, asked of the process that keeps account of the ID.

    No process holds a list of all atoms: that of rank ``id % size`` knows of this one.
    """
    known, n_known, _ = _deal(comm, own % comm.size, np.stack([own, np.arange(len(own))], axis=1))
    rank = np.repeat(np.arange(comm.size), n_known)
    order = np.argsort(known[:, 0], kind="stable")
    ids, entries = known[order, 0], np.stack([rank, known[:, 1]], axis=1)[order]
    twice = ids[1:][ids[1:] == ids[:-1]]
    keeper = wanted % comm.size
    sorting = np.argsort(keeper, kind="stable")
    asked, n_asking, n_asked = _deal(comm, keeper[sorting], wanted[sorting, None])
    at = np.searchsorted(ids, asked[:, 0]).clip(max=max(len(ids) - 1, 0))
    missing = asked[:, 0][ids[at] != asked[:, 0]] if len(ids) else asked[:, 0]
    problems = comm.allgather((twice[:1].tolist(), missing[:1].tolist()))
    if several := [atom for first, _ in problems for atom in first]:
        raise InputError(
            f"expected every atom to have an ID of its own, got several with {several[0]}; "
            "leave `atom_modify id` at yes, or renumber with `reset_atoms id`"
        )
    if lost := [atom for _, first in problems for atom in first]:
        raise InputError(
            f"LAMMPS has a ghost of atom {lost[0]}, which no process owns; an atom was lost or "
            "deleted without a new neighbour list"
        )
    answers = np.empty((len(wanted), 2), np.int64)
    _all_to_all(comm, entries[at], n_asking, answers, n_asked)
    found = np.empty_like(answers)
    found[sorting] = answers
    return found[:, 0], found[:, 1]


def _deal(
    comm: Any, to: Int64[np.ndarray, "n"], rows: Int64[np.ndarray, "n width"]
) -> tuple[Int64[np.ndarray, "n_taken width"], np.ndarray, np.ndarray]:
    """Send each row to a rank; return rows that came, and how many came and went, by rank."""
    order = np.argsort(to, kind="stable")
    n_given = np.bincount(to, minlength=comm.size)
    n_taken = np.empty_like(n_given)
    comm.Alltoall(n_given, n_taken)
    taken = np.empty((int(n_taken.sum()), rows.shape[1]), np.int64)
    _all_to_all(comm, rows[order], n_given, taken, n_taken)
    return taken, n_taken, n_given


def _all_to_all(
    comm: Any, rows: np.ndarray, n_given: np.ndarray, taken: np.ndarray, n_taken: np.ndarray
) -> None:
    """Send rows, sorted by rank, and receive others."""
    width, given = rows.shape[1], np.ascontiguousarray(rows)
    comm.Alltoallv([given, n_given * width], [taken, n_taken * width])


def _host(rows: Rows) -> np.ndarray:
    return rows if isinstance(rows, np.ndarray) else rows.cpu().numpy()


def _like(array: np.ndarray, rows: Rows) -> Rows:
    return array if isinstance(rows, np.ndarray) else torch.from_numpy(array).to(rows.device)
