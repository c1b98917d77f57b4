"""Relax many structures in lock-step, evaluated together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ase import Atoms

from ase_symcalc.apps.lockstep import FIRE, LBFGS
from ase_symcalc.apps.lockstep_crowd import Crowd, Newcomer, Relaxed, failed
from ase_symcalc.apps.relax import check_target
from ase_symcalc.errors import InputError
from ase_symcalc.evaluation import undisturbed
from ase_symcalc.potential_files import Potential, load_potential

METHODS: dict[str, type[LBFGS] | type[FIRE]] = {"LBFGS": LBFGS, "FIRE": FIRE}
MOST_EDGES = 100_000


def relax_many(
    structures: Iterable[Atoms],
    potential: str | os.PathLike[str] | Potential = "default",
    *,
    fmax: float = 0.01,
    cell: bool = True,
    max_steps: int = 500,
    optimizer: str = "LBFGS",
    max_edges: int = MOST_EDGES,
) -> Iterator[Relaxed]:
    """Relax structures together, and yield them in order.

    They take their steps at the same time, in one call of the network; where one has come to
    rest, the next takes its place. Each relaxes as it would alone.

    Parameters
    ----------
    structures : iterable of Atoms
        Taken one by one, when there is room. Left as they are; calculators on them are not
        used. Of constraints, `ase.constraints.FixAtoms` is understood.
    potential : str, path or Potential
        As for `ase_symcalc.evaluate`.
    fmax : float, eV/Å
        As for `relax`: also for the largest stress component times the volume per atom.
    cell : bool
        Relax cells too, along the periodic directions; structures without any keep theirs.
    max_steps : int
        Steps of each structure before giving up.
    optimizer : {"LBFGS", "FIRE"}
        FIRE takes about twice as many steps and forgives a rough landscape.
    max_edges : int
        Structures relax together while all have no more pairs of atoms than this within the
        cutoff and 1 Å; it bounds the memory. A larger structure relaxes on its own.

    Yields
    ------
    Relaxed
        One for each structure. A structure that fails is yielded with its error, and the
        others go on.

    Raises
    ------
    InputError
        If an argument is out of range.
    PotentialFileError
        If the potential cannot be found or read.

    Warns
    -----
    OutsideTrainingWarning
        Of each pair of elements within the cutoff that the potential's card does not list.
    """
    check_target(fmax, max_steps)
    if optimizer not in METHODS:
        raise InputError(f"there is no optimizer {optimizer!r}; choose one of {', '.join(METHODS)}")
    if max_edges < 1:
        raise InputError(f"expected max_edges to be at least 1, got {max_edges}")
    if isinstance(structures, Atoms):
        raise InputError("expected several structures, got Atoms; put it in a list: [atoms]")
    with undisturbed():
        if not isinstance(potential, Potential):
            potential = load_potential(potential)
    crowd = Crowd(potential, METHODS[optimizer](), fmax, cell, max_steps)
    return _in_order(_relaxed(iter(structures), crowd, max_edges))


def _in_order(results: Iterator[Relaxed]) -> Iterator[Relaxed]:
    """Hold back what is early: never more than come to rest while one takes all its steps."""
    early: dict[int, Relaxed] = {}
    turn = 0
    for result in results:
        early[result.index] = result
        while turn in early:
            yield early.pop(turn)
            turn += 1


def _relaxed(structures: Iterator[Atoms], crowd: Crowd, max_edges: int) -> Iterator[Relaxed]:
    """Relax; yield structures as they finish."""
    waiting: Newcomer | None = None
    index, more = 0, True
    while more or waiting is not None or crowd.members:
        joining: list[Newcomer] = []
        room = max_edges - crowd.n_edges
        while more or waiting is not None:
            if waiting is None:
                given = next(structures, None)
                if given is None:
                    more = False
                    break
                try:
                    waiting = crowd.newcomer(index, given)
                except InputError as error:
                    yield failed(index, given, 0, error)
                index += 1
            if waiting is not None:
                if (crowd.members or joining) and waiting.n_edges > room:
                    break
                joining.append(waiting)
                room, waiting = room - waiting.n_edges, None
        crowd.join(joining)
        if crowd.members:
            yield from crowd.advance()
