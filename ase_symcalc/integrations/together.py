"""Structures that an engine asks about again and again, evaluated together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ase import Atoms

from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.evaluation import (
    StructureResult,
    checked_arrays,
    evaluate_pairs,
    undisturbed,
    unseen_pairs,
    warn_of_pairs,
)
from ase_symcalc.potential_files import Potential
from ase_symcalc.structures import Pairs, SkinList, StructureArrays

SKIN = 1.0  # Å, as `SymCalc`


class Together:
    """Evaluates structures as one graph.

    The neighbour list of each place in the batch is kept for the next call; it is searched for
    anew if another structure has come there, or atoms have moved too far. Results do not depend
    on it.

    Parameters
    ----------
    potential : Potential
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self._lists: list[SkinList] = []
        self._named: set[str] = set()

    def __call__(self, structures: Sequence[Atoms]) -> list[StructureResult]:
        """Energies, forces and stresses, in order.

        Raises
        ------
        InputError
            If a structure has no meaning; of several, the message says which.
        NumericalError
            If the network returns NaN or infinity.

        Warns
        -----
        OutsideTrainingWarning
            Once of each pair of elements that the potential's card does not list.
        """
        cutoff = self.potential.model.cutoff
        more = len(structures) - len(self._lists)
        self._lists += [SkinList(cutoff, SKIN) for _ in range(more)]
        batch: list[tuple[StructureArrays, Pairs]] = []
        with undisturbed():
            for index, (atoms, known) in enumerate(zip(structures, self._lists, strict=False)):
                with _named(index, len(structures)):
                    arrays = checked_arrays(atoms, self.potential.model.elements)
                    batch.append((arrays, known.candidates(arrays)))
        results = self._evaluated(batch) if batch else []
        unseen: set[str] = set()
        for arrays, pairs in batch:
            unseen |= unseen_pairs(arrays, pairs, self.potential, self._named | unseen)
        self._named |= unseen  # first, for a warning may be made an error
        warn_of_pairs(unseen, [self.potential])
        return results

    def _evaluated(self, batch: list[tuple[StructureArrays, Pairs]]) -> list[StructureResult]:
        with undisturbed():
            try:
                return evaluate_pairs(batch, self.potential)
            except (InputError, NumericalError):  # say which of them
                for index, one in enumerate(batch):
                    with _named(index, len(batch)):
                        evaluate_pairs([one], self.potential)
                raise


@contextmanager
def _named(index: int, n_structures: int) -> Iterator[None]:
    """Say which of several structures an error is about."""
    try:
        yield
    except (InputError, NumericalError) as error:
        if n_structures == 1:
            raise
        raise type(error)(f"structure {index}: {error}") from error
