"""Rows of ghosts between processes, which are threads here."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from ase_symcalc.errors import InputError
from ase_symcalc.inference import RowExchange
from ase_symcalc.integrations.lammps_exchange import GhostRows

DIM = 3


class Comm:
    """The calls of an MPI communicator that are used, between threads."""

    def __init__(self, rank, board, barrier):
        self.rank, self.size, self._board, self._barrier = rank, len(board), board, barrier

    def allgather(self, value):
        self._board[self.rank] = value
        self._barrier.wait(10)
        values = list(self._board)
        self._barrier.wait(10)
        return values

    def Alltoall(self, given, taken):
        taken[:] = [row[self.rank] for row in self.allgather(given.copy())]

    def Alltoallv(self, given, taken):
        rows, counts = given
        parts = self.allgather(np.split(rows.ravel(), np.cumsum(counts)[:-1]))
        mine = [part[self.rank] for part in parts]
        assert [len(part) for part in mine] == list(taken[1])
        taken[0].reshape(-1)[:] = np.concatenate(mine)


def everywhere(size, work):
    """Results of ``work(comm)`` on each of so many processes."""
    board, barrier = [None] * size, threading.Barrier(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(work, (Comm(rank, board, barrier) for rank in range(size))))


def atoms_and_ghosts(size, seed=3):
    """IDs that no order is in; one process has no atoms, and one no ghosts."""
    random = np.random.default_rng(seed)
    ids = random.permutation(np.arange(100))[:40] + 1
    owner = random.integers(0, max(1, size - 1), len(ids))
    own = [ids[owner == rank] for rank in range(size)]
    ghosts = [random.choice(ids, 25 * (rank != 1)) for rank in range(size)]
    return own, ghosts


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float64])
def test_rows_go_to_ghosts_and_gradients_back(size, kind):
    own, ghosts = atoms_and_ghosts(size)
    value_of = np.random.default_rng(1).normal(size=(101, DIM))
    gradients = [np.random.default_rng(r).normal(size=(len(g), DIM)) for r, g in enumerate(ghosts)]
    expected = np.zeros((101, DIM))
    for where, gradient in zip(ghosts, gradients, strict=True):
        np.add.at(expected, where, gradient)

    def made(array):
        return torch.tensor(array, dtype=kind) if kind is torch.float64 else array.astype(kind)

    def work(comm):
        mine, theirs = own[comm.rank], ghosts[comm.rank]
        exchange, n = GhostRows(comm, mine, theirs), len(mine)
        rows = made(np.concatenate([value_of[mine], np.zeros((len(theirs), DIM))]))
        exchange.fill(rows)
        gradient = made(np.concatenate([np.ones((n, DIM)), gradients[comm.rank]]))
        exchange.fold(gradient)
        return np.asarray(rows), np.asarray(gradient[:n]), exchange

    results = everywhere(size, work)
    tolerance = 1e-5 if kind is np.float32 else 1e-13
    for rank, (rows, gradient, exchange) in enumerate(results):
        assert isinstance(exchange, RowExchange)
        np.testing.assert_allclose(rows[len(own[rank]) :], value_of[ghosts[rank]], atol=tolerance)
        np.testing.assert_allclose(gradient, 1 + expected[own[rank]], atol=tolerance)
    # both ways, an atom once for each other process that has ghosts of it
    copies = [set(ghosts[r]) - set(own[r]) for r in range(size)]
    sent = sum(exchange.bytes_sent for *_, exchange in results)
    assert sent == 2 * sum(map(len, copies)) * DIM * rows.itemsize


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_process_hears_of_a_wrong_id(size):
    def refused(comm, own, ghosts):
        with pytest.raises(InputError) as caught:
            GhostRows(comm, np.array(own, dtype=np.int64), np.array(ghosts, dtype=np.int64))
        return str(caught.value)

    twice = everywhere(size, lambda comm: refused(comm, [7] if comm.rank else [7, 4, 7], []))
    assert all("an ID of its own, got several with 7" in sentence for sentence in twice)
    lost = everywhere(size, lambda comm: refused(comm, [comm.rank], [99] if comm.rank == 0 else []))
    assert all("ghost of atom 99, which no process owns" in sentence for sentence in lost)


def test_nobody_has_atoms():
    nothing = np.zeros(0, dtype=np.int64)

    def work(comm):
        exchange = GhostRows(comm, nothing, nothing)
        rows = np.zeros((0, DIM))
        exchange.fill(rows)
        exchange.fold(rows)
        return exchange.bytes_sent

    assert everywhere(2, work) == [0, 0]
