"""What each process does when several evaluate one system."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float64, Int64

from ase_symcalc.errors import InputError, NumericalError, SymCalcError
from ase_symcalc.evaluation import evaluate_domain, undisturbed, unlisted_pairs, unseen_pairs
from ase_symcalc.evaluation.result import StructureResult, to_result
from ase_symcalc.inference import Surroundings
from ase_symcalc.inference.pair_list import edges_within, to_atoms
from ase_symcalc.integrations.distributed_rows import DistributedRows
from ase_symcalc.integrations.slabs import Slabs
from ase_symcalc.potential_files import Potential
from ase_symcalc.structures import TOO_CLOSE, Pairs, SkinList, StructureArrays, check_separation

LONGEST_IDLE = timedelta(days=3650)
"""How long processes wait for the next structure; one that ends wakes the others at once.
Process 0 waits for the others as long as torch does by default."""
_LONGEST_SENTENCE = 4000  # bytes
_COLUMNS = 13
"""Energy, force and share of ∂E/∂ε of an atom"""
_Edges = tuple[
    Float64[np.ndarray, "n_edges 3"], Int64[np.ndarray, "n_edges"], Int64[np.ndarray, "n_edges"]
]
_STOP, _ENERGIES, _DERIVATIVES = range(3)


class Member:
    """One process of torch's default group. All make it, and then call the same methods.

    Parameters
    ----------
    potential : Potential
        The same on all processes.
    skin : float, Å

    Raises
    ------
    InputError
        If the settings are not the same in all processes.
    """

    def __init__(self, potential: Potential, skin: float) -> None:
        self.potential, self.skin = potential, skin
        self.home = os.getpid()
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        idle = LONGEST_IDLE if self.rank else None
        self._control = dist.new_group(backend="gloo", timeout=idle)
        elements = potential.model.elements
        self._kinds = [f"{a}-{b}" for k, a in enumerate(elements) for b in elements[k:]]
        self.unseen: set[str] = set()
        self._forget()
        self._compare()

    def _forget(self) -> None:
        self._skin_list = SkinList(self.potential.model.cutoff, self.skin, self._search)
        self._numbers, self._unlisted = b"", set[str]()

    def _compare(self) -> None:
        """Refuse processes with different settings."""
        own = f"{self.potential.digest} {self.potential.dtype} {self.skin:g}"
        first = self._sentence(own, 0)
        failure = InputError(
            "expected the same potential, dtype and skin in all processes, got others in process "
            f"{self.rank} than in process 0"
        )
        self._agree(failure if own != first else None)

    def begin(self, arrays: StructureArrays, derivatives: bool) -> None:
        """Process 0: hand a structure to the others."""
        n = len(arrays.positions)
        self._broadcast(torch.tensor([_DERIVATIVES if derivatives else _ENERGIES, n]))
        fields = (arrays.positions, arrays.cell, arrays.pbc, arrays.atomic_numbers)
        self._broadcast(torch.tensor(np.concatenate([np.ravel(field) for field in fields])))

    def stop(self) -> None:
        """Process 0: let the others return from `serve`."""
        self._broadcast(torch.tensor([_STOP, 0]))

    def serve(self) -> None:
        """Every other process: take part until process 0 stops."""
        while (order := self._receive()) is not None:
            try:
                self.evaluate(*order)
            except (InputError, NumericalError):
                continue  # process 0 says it

    def _receive(self) -> tuple[StructureArrays, bool] | None:
        header = torch.empty(2, dtype=torch.int64)
        self._broadcast(header)
        command, n = header.tolist()
        if command == _STOP:
            return None
        body = torch.empty(4 * n + 12, dtype=torch.float64)
        self._broadcast(body)
        positions, cell, pbc, numbers = np.split(body.numpy(), np.cumsum([3 * n, 9, 3]))
        arrays = StructureArrays(
            positions.reshape(n, 3).copy(),
            cell.reshape(3, 3).copy(),
            pbc.astype(bool),
            numbers.astype(np.int64),
        )
        return arrays, command == _DERIVATIVES

    def evaluate(self, arrays: StructureArrays, derivatives: bool) -> StructureResult | None:
        """Evaluate own atoms; process 0 gets the sum.

        Raises
        ------
        InputError, NumericalError
            On all processes, which are ready for the next structure.
        """
        with undisturbed():
            return self._evaluate(arrays, derivatives)

    def _evaluate(self, arrays: StructureArrays, derivatives: bool) -> StructureResult | None:
        failure: InputError | None = None
        edges, unseen = None, set[str]()
        try:
            pairs = self._skin_list.candidates(arrays)
            edges, unseen = self._edges(arrays, pairs), self._unseen_pairs(arrays, pairs)
        except InputError as error:
            failure = error
        self._agree(failure, unseen)
        if self._skin_list.rebuilt:  # for all or for none: they know the same positions
            ghosts = self._rows[self._n_own :]
            owner, place = self._slabs.owner[ghosts], self._slabs.place[ghosts]
            device = self.potential.device
            self._exchange = DistributedRows(device, self._n_own, owner, place)
        given = self._of_rows(arrays, edges, derivatives)
        return self._sum(arrays, given, derivatives)

    def _search(
        self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
    ) -> Pairs:
        """Cut the system anew, and find the pairs of the own slab and its ghosts."""
        self._slabs = slabs = Slabs.cut(positions, cell, pbc, self.size)
        pairs = slabs.pairs(self.rank, positions, cell, pbc, cutoff)
        own = np.flatnonzero(slabs.owner == self.rank)
        ghosts = np.setdiff1d(pairs.neighbour, own)
        ghosts = ghosts[np.argsort(slabs.owner[ghosts], kind="stable")]
        self._rows, self._n_own = np.concatenate([own, ghosts]), len(own)
        row = np.empty(len(positions), dtype=np.int64)
        row[self._rows] = np.arange(len(self._rows))
        self._local = (row[pairs.centre], row[pairs.neighbour], pairs.unit_shifts)
        return pairs

    def _edges(self, arrays: StructureArrays, pairs: Pairs) -> _Edges:
        positions, cutoff = arrays.positions[self._rows], self.potential.model.cutoff
        edges = edges_within(self._local, positions, arrays.cell, cutoff)
        if edges[0].size and (edges[0] ** 2).sum(axis=1).min() < TOO_CLOSE**2:
            check_separation(arrays, pairs)
        return edges

    def _unseen_pairs(self, arrays: StructureArrays, pairs: Pairs) -> set[str]:
        """Pairs of elements that no training data had, and that nobody knows of yet."""
        numbers = arrays.atomic_numbers.tobytes()
        if self._skin_list.rebuilt or numbers != self._numbers:
            self._numbers = numbers
            self._unlisted = unlisted_pairs(arrays, pairs, self.potential)
        if self._unlisted <= self.unseen:  # not even the skin holds others
            return set()
        return unseen_pairs(arrays, pairs, self.potential, self.unseen)

    def _of_rows(
        self, arrays: StructureArrays, edges: _Edges | None, derivatives: bool
    ) -> np.ndarray | None:
        """Find what own atoms and their edges give to rows; None if numbers overflow."""
        assert edges is not None
        numbers, n_own = arrays.atomic_numbers[self._rows], self._n_own
        given = np.zeros((len(numbers), _COLUMNS if derivatives else 1))
        try:
            energies, gradient = evaluate_domain(
                self.potential, *edges, numbers, n_own, self._exchange, derivatives=derivatives
            )
        except NumericalError:  # found after the last exchange
            return None
        except InputError as error:  # it would be found by some processes only
            raise SymCalcError(f"process {self.rank}: {error}") from error
        given[:n_own, 0] = energies
        if gradient is not None:
            forces, shares = to_atoms(Surroundings(*edges, numbers, n_own), gradient)
            given[:, 1:4], given[:, 4:] = forces, shares.reshape(-1, 9)
        return given

    def _sum(
        self, arrays: StructureArrays, given: np.ndarray | None, derivatives: bool
    ) -> StructureResult | None:
        """Add up what all processes give to atoms; an atom more counts those that failed."""
        n = len(arrays.positions)
        total = np.zeros((n + 1, _COLUMNS if derivatives else 1))
        if given is None:
            total[n] = 1
        else:
            total[self._rows] = given
        dist.reduce(torch.from_numpy(total), group=self._control, group_dst=0)
        if self.rank:
            return None
        if total[n, 0]:
            raise NumericalError(
                "expected finite numbers from the network, got some that are not. The structure "
                "is probably far outside what the potential was trained on, or the numbers "
                "overflow its dtype; look at it, or use dtype='float64'."
            )
        if not derivatives:
            return to_result(arrays, total[:n, 0].copy())
        shares = total[:n, 4:].reshape(n, 3, 3)
        return to_result(arrays, total[:n, 0].copy(), total[:n, 1:4].copy(), shares)

    def _agree(self, failure: InputError | None, unseen: Iterable[str] = ()) -> None:
        """Raise on all processes what one of them found, and let all know of unseen pairs."""
        found = torch.tensor([self.rank + 1 if failure else 0, *(k in unseen for k in self._kinds)])
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self._control)
        blamed, *flags = found.tolist()
        self.unseen.update(kind for kind, flag in zip(self._kinds, flags, strict=True) if flag)
        if blamed:
            self._forget()
            raise InputError(self._sentence(str(failure), blamed - 1))

    def _sentence(self, text: str, rank: int) -> str:
        """Share what one of the processes says."""
        encoded = text.encode()[:_LONGEST_SENTENCE].ljust(_LONGEST_SENTENCE)
        shared = torch.tensor(list(encoded), dtype=torch.uint8)
        dist.broadcast(shared, group=self._control, group_src=rank)
        return bytes(shared.tolist()).decode(errors="ignore").rstrip()

    def _broadcast(self, tensor: torch.Tensor) -> None:
        dist.broadcast(tensor, group=self._control, group_src=0)
