"""Part of a system: atoms that a process owns, and what it knows of those of others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.evaluation.context import without_warnings
from ase_symcalc.inference import RowExchange, Surroundings, network_of
from ase_symcalc.potential_files import Potential
from ase_symcalc.structures import TOO_CLOSE
from ase_symcalc.structures.from_ase import check_elements


class DomainResult(NamedTuple):
    """What the owned atoms give."""

    atomic_energies: Float64[np.ndarray, "n_centres"]
    """eV, everything a potential adds up included"""
    gradient: Float64[np.ndarray, "n_edges 3"] | None
    """Of the (weighted) energy of all processes' atoms by the given edge vectors, eV/Å"""


def evaluate_domain(
    potential: Potential,
    edge_vectors: Float64[np.ndarray, "n_edges 3"],
    centre: Int64[np.ndarray, "n_edges"],
    neighbour: Int64[np.ndarray, "n_edges"],
    atomic_numbers: Int64[np.ndarray, "n_rows"],
    n_centres: int,
    exchange: RowExchange | None = None,
    *,
    weights: Float64[np.ndarray, "n_centres"] | None = None,
    derivatives: bool = True,
) -> DomainResult:
    """Energies of the atoms a process owns, and their gradient by its edges.

    With the g_e of all processes, F_i = Σ_{e: centre i} g_e - Σ_{e: neighbour i} g_e, where the
    second sum may have terms for atoms of other processes; see `response.derivatives`.

    Parameters
    ----------
    potential : Potential
    edge_vectors : (n_edges, 3) array, Å
        From centre to neighbour. Those longer than the cutoff count as none and get a zero
        gradient.
    centre, neighbour : (n_edges,) arrays
        Rows; each centre has all its edges, in any order. Sorted by centre saves a copy.
    atomic_numbers : (n_rows,) array
        Of the owned atoms, then of those of others (ghosts).
    n_centres : int
        How many are owned; 0 for a process without atoms, which must call all the same.
    exchange : RowExchange, optional
        Who knows the rows of the ghosts. Without one there must be no ghosts, or only one layer.
    weights : (n_centres,) array, optional
        Of each energy in the sum whose gradient is taken; 1 if left out.
    derivatives : bool
        The same on all processes: it decides how often rows are exchanged.

    Raises
    ------
    InputError
        If the arrays do not fit each other, or two atoms are on top of each other.
    UnsupportedElementError
        If the potential does not know an element.
    NumericalError
        If the network returns NaN or infinity.

    Notes
    -----
    What is raised, is raised on one process, while the others wait in the exchange: whoever
    calls must end them all.
    """
    vectors = np.require(edge_vectors, np.float64, ("C", "W"))  # for kernels
    centre, neighbour = (np.require(index, np.int64, ("C", "W")) for index in (centre, neighbour))
    numbers = np.asarray(atomic_numbers, dtype=np.int64)
    _check(potential, vectors, centre, neighbour, numbers, n_centres, exchange)
    with without_warnings():
        chosen = _chosen(vectors, centre, potential.model.cutoff)
        ends = (centre[chosen], neighbour[chosen])
        seen = Surroundings(vectors[chosen], *ends, numbers, n_centres, exchange=exchange)
        network = network_of(potential.model, potential.dtype, potential.device)
        energies, slope = network(seen, weights, derivatives=derivatives)
        gradient = None
        if slope is not None:
            gradient = np.zeros_like(vectors)
            gradient[chosen] = slope
        _check_finite(energies, gradient)
    return DomainResult(energies, gradient)


def _chosen(vectors: np.ndarray, centre: np.ndarray, cutoff: float) -> slice | np.ndarray:
    """Edges within the cutoff, sorted by centre."""
    squares = np.einsum("ea,ea->e", vectors, vectors)
    if squares.min(initial=np.inf) < TOO_CLOSE**2:
        raise InputError(
            f"two atoms are {squares.min() ** 0.5:.3g} Å apart; expected at least {TOO_CLOSE:g} Å. "
            "Check the units of the engine: the potential's are Å and eV."
        )
    near = squares < cutoff**2
    ordered = bool((centre[1:] >= centre[:-1]).all())
    if ordered:
        return slice(None) if near.all() else np.flatnonzero(near)
    chosen = np.flatnonzero(near)
    return chosen[np.argsort(centre[chosen], kind="stable")]


def _check(
    potential: Potential,
    vectors: np.ndarray,
    centre: np.ndarray,
    neighbour: np.ndarray,
    numbers: np.ndarray,
    n_centres: int,
    exchange: RowExchange | None,
) -> None:
    n_rows, n_edges = len(numbers), len(vectors)
    if vectors.shape != (n_edges, 3):
        raise InputError(f"expected edge vectors of shape (n_edges, 3), got {vectors.shape}")
    if not 0 <= n_centres <= n_rows:
        raise InputError(f"expected 0 to {n_rows} of {n_rows} rows to be centres, got {n_centres}")
    for name, index, end in (("centre", centre, n_centres), ("neighbour", neighbour, n_rows)):
        if index.shape != (n_edges,):
            raise InputError(f"expected {n_edges} entries of {name}, got shape {index.shape}")
        if n_edges and not 0 <= index.min() <= index.max() < end:
            raise InputError(
                f"expected entries of {name} from 0 to {end - 1}, got some from {index.min()} to "
                f"{index.max()}"
            )
    if not np.isfinite(vectors).all():
        raise InputError(
            "expected finite edge vectors, got some that are not; the run has blown up"
        )
    check_elements(np.unique(numbers), potential.model.elements)
    if exchange is None and n_rows > n_centres and potential.model.num_layers > 1:
        raise InputError(
            f"{n_rows - n_centres} rows are atoms of other processes, and {potential.card.name} "
            f"has {potential.model.num_layers} layers; expected an exchange that fills them"
        )


def _check_finite(energies: np.ndarray, gradient: np.ndarray | None) -> None:
    if np.isfinite(energies).all() and (gradient is None or np.isfinite(gradient).all()):
        return
    raise NumericalError(
        "expected finite energies and gradients from the network, got some that are not. The "
        "system is probably far outside what the potential was trained on, or the numbers "
        "overflow its dtype; look at the last frame, or use float64."
    )
